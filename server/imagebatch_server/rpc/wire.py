"""The protobuf wire format, as far as results are assembled from parts that are serialised already.

A message may be put together by joining its fields' bytes in any order
(https://protobuf.dev/programming-guides/encoding/), so stored Structs need not be parsed to be sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

_LENGTH_DELIMITED = 2
_DOUBLE = 1
_PACK_DOUBLE = Struct("<d").pack


def varint(value: int) -> bytes:
    """A non-negative integer."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, data: bytes) -> bytes:
    """A length-delimited field: a message, a string or bytes."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(len(data)) + data


def string_value(text: str) -> bytes:
    """A `google.protobuf.Value` that holds a string."""
    return field(3, text.encode())


def number_value(number: float) -> bytes:
    """A `google.protobuf.Value` that holds a number."""
    return bytes((2 << 3 | _DOUBLE,)) + _PACK_DOUBLE(number)


def struct_value(data: bytes) -> bytes:
    """A `google.protobuf.Value` that holds a serialised Struct."""
    return field(5, data)


def struct(entries: Iterable[tuple[str, bytes]]) -> bytes:
    """A `google.protobuf.Struct` of keys and serialised Values."""
    return b"".join(field(1, field(1, key.encode()) + field(2, value)) for key, value in entries)
