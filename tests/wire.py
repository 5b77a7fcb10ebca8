"""Messages as bytes, where protobuf's own classes would refuse to write them."""

from __future__ import annotations


def field(number: int, payload: bytes) -> bytes:
    """Make a field that has a length."""

    def varint(value: int) -> bytes:
        return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + varint(value >> 7)

    return varint(number << 3 | 2) + varint(len(payload)) + payload


def nested(levels: int, *, lists: bool) -> bytes:
    """Make a Struct of so many levels below each other."""
    value = field(6 if lists else 5, b"")
    for _ in range(levels - 2):
        value = field(6, field(1, value)) if lists else field(5, field(1, field(1, b"k") + field(2, value)))
    return field(1, field(1, b"k") + field(2, value))
