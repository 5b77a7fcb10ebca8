"""The protobuf wire format, as far as results are assembled from parts that are serialised already.

A message may be put together by joining its fields' bytes in any order
(https://protobuf.dev/programming-guides/encoding/), so stored Structs need not be parsed to be sent.
"""

from __future__ import annotations

from struct import Struct

_LENGTH_DELIMITED = 2
_DOUBLE = 1
_ONE_BYTE = 0x80
_TWO_BYTES = _ONE_BYTE * _ONE_BYTE
_PACK_DOUBLE = Struct("<d").pack


def varint(value: int) -> bytes:
    """A non-negative integer."""
    if value < _ONE_BYTE:
        return bytes((value,))
    out = bytearray()
    while value >= _ONE_BYTE:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, data: bytes) -> bytes:
    """A length-delimited field: a message, a string or bytes."""
    size = len(data)
    if number < _ONE_BYTE >> 3:  # nearly all fields, so worth a shorter way
        tag = number << 3 | _LENGTH_DELIMITED
        if size < _ONE_BYTE:
            return bytes((tag, size)) + data
        if size < _TWO_BYTES:
            return bytes((tag, size & 0x7F | 0x80, size >> 7)) + data
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(size) + data


def string_value(text: str) -> bytes:
    """A `google.protobuf.Value` that holds a string."""
    return field(3, text.encode())


def number_value(number: float) -> bytes:
    """A `google.protobuf.Value` that holds a number."""
    return bytes((2 << 3 | _DOUBLE,)) + _PACK_DOUBLE(number)


def struct_value(data: bytes) -> bytes:
    """A `google.protobuf.Value` that holds a serialised Struct."""
    return field(5, data)


def key(name: str) -> bytes:
    """The key of an entry of a Struct."""
    return field(1, name.encode())


def entry(key: bytes, value: bytes) -> bytes:
    """One entry of a `google.protobuf.Struct`, of a key and a serialised Value; a Struct is its entries joined."""
    return field(1, key + field(2, value))
