"""`google.protobuf.Struct` bytes from and to dictionaries, by a converter written for it.

Metadata, parameters and outputs cross the server as these bytes and are looked into only at the edges.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value

MAX_EXACT_INTEGER = 2**53
"""The largest whole number up to which a Struct's doubles hold every one."""

MAX_DEPTH = 30
"""Levels of nesting: protobuf parsers stop at 100 messages in each other, and a level of a Struct takes three.

The Struct itself is the first level, and each object or list within another is one more.
"""

TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels, which parsers refuse; flatten it, or give it as text"

_STRUCT_TAG, _LIST_TAG = b"*2"
"""What begins a Value that is an object, or a list."""

_NOT_FINITE = re.compile(rb"\x11.{6}[\xf0-\xff][\x7f\xff]", re.DOTALL)
"""In the bytes of every Struct with a number that is infinite or none."""


def to_dict(data: bytes | None) -> dict[str, Any]:
    """Read a serialised Struct; None is an empty one.

    Whole numbers up to 2^53 come back as int, for a Struct can't tell 3 from 3.0. Raises ValueError if the bytes are
    no Struct.
    """
    return _read_fields(_parse(data)) if data else {}


def from_dict(value: Mapping[str, Any]) -> bytes:
    """Serialise a mapping as a Struct.

    Raises ValueError, naming the path, for what a Struct can't hold: NaN, infinities, integers beyond 2^53, keys that
    are no text, other types, text with lone surrogates, and nesting deeper than MAX_DEPTH.
    """
    message = Struct()
    try:
        _write_fields(message, value, 1)
    except _Refused as refused:
        path = "".join(reversed(refused.path)).removeprefix(".").encode(errors="backslashreplace").decode()
        raise ValueError(f"{path}: {refused.why}") from None
    return message.SerializeToString()


class UnfitValue(NamedTuple):
    """A value that readers stumble over: where it is, as in `.a.b[3]`, and what is wrong with it."""

    path: str
    why: str
    value: Value


def unfit_values(data: bytes) -> Iterator[UnfitValue]:
    """Find what breaks parsers or JSON: nesting deeper than MAX_DEPTH, numbers that are not finite, Values of no kind.

    `data` is a Struct as protobuf serialises it; where all is well, as nearly always, it isn't even parsed. Raises
    ValueError if the bytes are no Struct.
    """
    return _unfit_fields(_parse(data), "", 1) if may_be_unfit(data) else iter(())


def texts(data: bytes) -> Iterator[str]:
    """Find every text in a serialised Struct but the names of its fields. Raises ValueError if it is none."""
    return _texts_of(_parse(data).fields.values())


def is_fit(data: bytes) -> bool:
    """Whether the bytes are a serialised Struct that every reader can take, whoever serialised it."""
    try:
        message = Struct.FromString(data)
    except DecodeError:
        return False
    return not may_be_unfit(message.SerializeToString()) or not any(_unfit_fields(message, "", 1))


def fit(data: bytes) -> bytes:
    """Put a text that says what was there in the place of every unfit value, so that the rest can be read."""
    if not may_be_unfit(data):
        return data
    message = _parse(data)
    unfit_ones = list(_unfit_fields(message, "", 1))
    for unfit in unfit_ones:
        unfit.value.string_value = f"(left out: it {unfit.why.partition(';')[0]})"
    return message.SerializeToString(deterministic=True) if unfit_ones else data


def may_be_unfit(data: bytes) -> bool:
    """Tell by a glance at the bytes of a Struct whether to look for unfit values: few are suspected without a cause.

    `data` is as protobuf serialises it. Every item is looked at several times, so what finds nothing is to be quick.
    """
    # Single bytes as numbers, and pairs from the end: each takes half as long.
    return (
        data.count(_STRUCT_TAG) + data.count(_LIST_TAG) >= MAX_DEPTH  # each level is begun by one of the two
        or data.rfind(b"\n\0") >= 0  # a Value of no kind is a field of no bytes, in an object or in a list
        or data.rfind(b"\x12\0") >= 0
        or ((0x7F in data or 0xFF in data) and _NOT_FINITE.search(data) is not None)
    )


def _texts_of(values: Iterable[Value]) -> Iterator[str]:
    for value in values:
        kind = value.WhichOneof("kind")
        if kind == "string_value":
            yield value.string_value
        elif kind == "struct_value":
            yield from _texts_of(value.struct_value.fields.values())
        elif kind == "list_value":
            yield from _texts_of(value.list_value.values)


def _unfit_fields(message: Struct, path: str, depth: int) -> Iterator[UnfitValue]:
    for key in message.fields:
        yield from _unfit(message.fields[key], f"{path}.{key}", depth)


def _unfit(value: Value, path: str, depth: int) -> Iterator[UnfitValue]:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        if not math.isfinite(value.number_value):
            yield UnfitValue(path, f"is {value.number_value}, which is no JSON number; give null or text", value)
    elif kind in ("struct_value", "list_value"):
        if depth == MAX_DEPTH:
            yield UnfitValue(path, TOO_DEEP, value)
        elif kind == "struct_value":
            yield from _unfit_fields(value.struct_value, path, depth + 1)
        else:
            for position, element in enumerate(value.list_value.values):
                yield from _unfit(element, f"{path}[{position}]", depth + 1)
    elif kind is None:
        yield UnfitValue(path, "is a Value of no kind; set one, null_value for null", value)


def _parse(data: bytes) -> Struct:
    try:
        return Struct.FromString(data)
    except DecodeError as error:
        raise ValueError("the bytes are no serialised google.protobuf.Struct") from error


def _read_fields(message: Struct) -> dict[str, Any]:
    fields = message.fields
    return {key: _read(fields[key]) for key in fields}  # its items() is a view written in Python


def _read(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if abs(number) <= MAX_EXACT_INTEGER and number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return _read_fields(value.struct_value)
        case "list_value":
            return [_read(item) for item in value.list_value.values]
        case _:
            return None


class _Refused(Exception):
    """Gather its path on the way out, so that paths cost nothing where all is well."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.path: list[str] = []


def _write_fields(message: Struct, value: Mapping[str, Any], depth: int) -> None:
    fields = message.fields
    for key, item in value.items():
        try:
            if not isinstance(key, str):
                raise _Refused(f"a key of type {type(key).__name__} can't be stored; use text")
            _write(fields[key], item, depth)
        except _REFUSALS as error:
            raise _refused_at(f".{key}", error) from None


def _write_items(values: Any, value: Iterable[Any], depth: int) -> None:
    for position, item in enumerate(value):
        try:
            _write(values.add(), item, depth)
        except _REFUSALS as error:
            raise _refused_at(f"[{position}]", error) from None


def _write(message: Value, value: Any, depth: int) -> None:
    if isinstance(value, str):
        message.string_value = value
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _Refused(f"{value} can't be stored; leave the field out or use a finite number")
        message.number_value = value
    elif isinstance(value, int):
        if abs(value) > MAX_EXACT_INTEGER:
            raise _Refused(f"{value} is beyond 2^53, where a double loses digits; give it as text")
        message.number_value = value
    elif value is None:
        message.null_value = NULL_VALUE
    else:
        _write_nested(message, value, depth + 1)


def _write_nested(message: Value, value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _Refused(f"nested deeper than {MAX_DEPTH} levels, which parsers refuse; flatten it")
    if isinstance(value, list | tuple):
        message.list_value.SetInParent()  # an empty one is one too
        _write_items(message.list_value.values, value, depth)
    elif isinstance(value, Mapping):
        message.struct_value.SetInParent()
        _write_fields(message.struct_value, value, depth)
    else:
        raise _Refused(f"a value of type {type(value).__name__} can't be stored; use text, numbers, lists or mappings")


def _refused_at(place: str, error: _Refused | UnicodeEncodeError) -> _Refused:
    refused = error if isinstance(error, _Refused) else _Refused(_LONE_SURROGATE)
    refused.path.append(place)
    return refused


_REFUSALS = (_Refused, UnicodeEncodeError)
_LONE_SURROGATE = "the text holds a lone surrogate, which is no character; remove it"
