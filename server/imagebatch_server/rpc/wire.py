"""The protobuf wire format, as far as results are assembled from parts that are serialised already.

A message may be put together by joining its fields' bytes in any order
(https://protobuf.dev/programming-guides/encoding/), so stored Structs need not be parsed to be sent. Structs of
protobuf's own making were measured too, with bytes in the place of messages: they take a quarter longer.
"""

from __future__ import annotations

from struct import Struct

_VARINT = 0
_LENGTH_DELIMITED = 2
_ONE_BYTE = 1 << 7
_TWO_BYTES = 1 << 14
_THREE_BYTES = 1 << 21
_PACK_DOUBLE = Struct("<d").pack

STRING, NUMBER, STRUCT = b"\x1a", b"\x11", b"\x2a"
"""Tags of what a `google.protobuf.Value` holds."""


class _Varints(dict[int, bytes]):
    """Keeps the short ones, among which nearly all lengths are: one is looked up for every field."""

    def __missing__(self, value: int) -> bytes:
        if value >= _TWO_BYTES:
            return _long(value)
        short = bytes((value,)) if value < _ONE_BYTE else bytes((value & 0x7F | 0x80, value >> 7))
        self[value] = short
        return short


VARINT = _Varints()
"""The varint of every non-negative integer."""


def _long(value: int) -> bytes:
    if value < _THREE_BYTES:  # most indexes and sequences of large batches
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    out = bytearray()
    while value >= _ONE_BYTE:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int) -> bytes:
    """What begins a length-delimited field (a message, a string or bytes); its length and its data follow."""
    return VARINT[number << 3 | _LENGTH_DELIMITED]


def integer_tag(number: int) -> bytes:
    """What begins a field that is an integer or an enum; its varint follows."""
    return VARINT[number << 3 | _VARINT]


def key(name: str) -> bytes:
    """The key of an entry of a `google.protobuf.Struct`."""
    data = name.encode()
    return b"\x0a%b%b" % (VARINT[len(data)], data)


def entry(key: bytes, kind: bytes, data: bytes) -> bytes:
    """One entry of a `google.protobuf.Struct`, a STRING or a STRUCT by its bytes; a Struct is its entries joined."""
    size = VARINT[len(data)]
    value_bytes = len(kind) + len(size) + len(data)
    value_size = VARINT[value_bytes]
    return b"\x0a%b%b\x12%b%b%b%b" % (
        VARINT[len(key) + 1 + len(value_size) + value_bytes], key, value_size, kind, size, data,
    )  # fmt: skip


def number_entry(key: bytes, number: float) -> bytes:
    """One entry that is a number."""
    data = _PACK_DOUBLE(number)
    return b"\x0a%b%b\x12%b%b%b" % (VARINT[len(key) + 2 + 9], key, VARINT[9], NUMBER, data)
