"""The protobuf wire format, as far as results are assembled from parts that are serialised already.

A message may be put together by joining its fields' bytes in any order
(https://protobuf.dev/programming-guides/encoding/), so stored Structs need not be parsed to be sent. What stands
before a field's data depends only on the data's length, so it is looked up: a result then takes half as long as when
its varints are made, and less than from a message of protobuf's own.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

_VARINT = 0
_LENGTH_DELIMITED = 2
_KEPT = 1 << 13
_PACK_DOUBLE = Struct("<d").pack

STRING, STRUCT = 3, 5
"""Fields of a `google.protobuf.Value`."""

_NUMBER_TAG = b"\x11"
_NUMBER_BYTES = 9
"""Of a Value that is a number: its tag and a double."""


class Table(dict[int, bytes]):
    """Bytes by a non-negative integer, made when they are first asked for; those of small ones are kept."""

    def __init__(self, make: Callable[[int], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, number: int) -> bytes:
        made = self._make(number)
        if number < _KEPT:
            self[number] = made
        return made


def _make_varint(value: int) -> bytes:
    return bytes((value,)) if value < 0x80 else bytes((value & 0x7F | 0x80,)) + VARINT[value >> 7]


VARINT = Table(_make_varint)
"""The varint of every non-negative integer."""


class Integer(dict[int, bytes]):
    """A field that is a non-negative integer or an enum, by its value."""

    def __init__(self, number: int) -> None:
        tag = VARINT[number << 3 | _VARINT]
        super().__init__({value: tag + VARINT[value] for value in range(0x80)})
        self._begun = [tag + bytes((low | 0x80,)) for low in range(0x80)]

    def __missing__(self, value: int) -> bytes:
        return self._begun[value & 0x7F] + VARINT[value >> 7]


def head(number: int) -> Table:
    """Make what stands before the data of a length-delimited field (a message, a string, bytes), by its length."""
    tag = VARINT[number << 3 | _LENGTH_DELIMITED]
    return Table(lambda size: tag + VARINT[size])


def entry_head(name: str, kind: int) -> Table:
    """Make what stands before the data of an entry of a `google.protobuf.Struct`, by the data's length.

    The entry is a STRING or a STRUCT; a Struct is its entries joined.
    """
    key = _key(name)
    kinds, values, entries = head(kind), head(2), head(1)

    def make(size: int) -> bytes:
        value = kinds[size]
        rest = key + values[len(value) + size] + value
        return entries[len(rest) + size] + rest

    return Table(make)


def number_entry(name: str) -> Callable[[float], bytes]:
    """Make what makes an entry that is a number."""
    key = _key(name) + head(2)[_NUMBER_BYTES]
    begin = head(1)[len(key) + _NUMBER_BYTES] + key + _NUMBER_TAG
    return lambda number: begin + _PACK_DOUBLE(number)


def _key(name: str) -> bytes:
    data = name.encode()
    return head(1)[len(data)] + data
