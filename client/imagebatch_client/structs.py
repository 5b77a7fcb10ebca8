"""`google.protobuf.Struct` to dict and back: JSON values only, and no loss that goes unseen.

Struct numbers are doubles, so integral ones come back as int, and integers that a double can't hold are refused. The
reading side is written for speed (MessageToDict takes about twice as long), because it runs twice for every item.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import ListValue, NullValue, Struct, Value

from imagebatch_client.errors import InvalidRequestError

_MAX_EXACT_INTEGER = 2**53
# Parsers of protobuf stop at 100 nested messages, and each level of a dict takes three.
_MAX_DEPTH = 30

_which = Value.WhichOneof


def dict_from_struct(struct: Struct) -> dict[str, Any]:
    """Copy a Struct into plain Python values."""
    fields = struct.fields  # its items() would look up each key in Python again
    return {key: (value := fields[key]).string_value or _from_value(value) for key in fields}


def _from_value(value: Value) -> Any:
    # A plain read settles most values faster than asking which one is set; texts were tried before.
    number = value.number_value
    if number:
        is_whole = number.is_integer() and -_MAX_EXACT_INTEGER <= number <= _MAX_EXACT_INTEGER
        return int(number) if is_whole else number
    kind = _which(value, "kind")
    if kind == "struct_value":
        return dict_from_struct(value.struct_value)
    if kind == "list_value":
        return [element.string_value or _from_value(element) for element in value.list_value.values]
    if kind == "bool_value":
        return value.bool_value
    if kind == "string_value":
        return ""
    return 0 if kind == "number_value" else None


def fill_struct(struct: Struct, values: Mapping[str, Any], path: str) -> None:
    """Write `values` into an empty Struct; `path` is the field's name in the request, for messages.

    Raises InvalidRequestError, naming the path, for what JSON or a double can't hold.
    """
    struct.SetInParent()
    _fill_struct(struct, values, path, depth=1)


def _fill_struct(struct: Struct, values: Mapping[str, Any], path: str, depth: int) -> None:
    if not isinstance(values, Mapping):
        raise _refusal(path, f"is {type(values).__name__}; give a dict")
    if depth > _MAX_DEPTH:
        raise _refusal(path, f"is nested deeper than {_MAX_DEPTH} levels; flatten it")
    fields = struct.fields
    for key, value in values.items():
        if not isinstance(key, str):
            raise _refusal(path, f"has the key {key!r} of type {type(key).__name__}; keys are strings")
        if not _is_encodable(key):
            raise _refusal(path, f"has the key {key!r}, which is not valid Unicode; replace its lone surrogates")
        _fill_value(fields[key], value, f"{path}.{key}", depth)


def _fill_list(target: ListValue, values: list[Any] | tuple[Any, ...], path: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise _refusal(path, f"is nested deeper than {_MAX_DEPTH} levels; flatten it")
    for index, value in enumerate(values):
        _fill_value(target.values.add(), value, f"{path}[{index}]", depth)


def _fill_value(target: Value, value: Any, path: str, depth: int) -> None:
    match value:
        case str():
            if not _is_encodable(value):
                raise _refusal(path, "is not valid Unicode; replace its lone surrogates")
            target.string_value = value
        case bool():
            target.bool_value = value
        case int() | float():
            _check_number(value, path)
            target.number_value = value
        case None:
            target.null_value = NullValue.NULL_VALUE
        case Mapping():
            target.struct_value.SetInParent()
            _fill_struct(target.struct_value, value, path, depth + 1)
        case list() | tuple():
            target.list_value.SetInParent()
            _fill_list(target.list_value, value, path, depth + 1)
        case _:
            raise _refusal(
                path, f"is {type(value).__name__}, not a JSON value; give str, int, float, bool, None, list or dict"
            )


def _check_number(value: float, path: str) -> None:
    if isinstance(value, int) and abs(value) > _MAX_EXACT_INTEGER:
        raise _refusal(path, f"{value} is beyond 2^53, which a double can't hold exactly; send it as a string")
    if not math.isfinite(value):
        raise _refusal(path, f"{value} is not a JSON number; send None or a string")


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refusal(path: str, description: str) -> InvalidRequestError:
    return InvalidRequestError.of_field(path, description)
