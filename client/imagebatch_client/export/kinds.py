"""The kinds of values that a column may hold, and the kind that a JSON Schema means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

_MOST_INTEGER = 2**63
_MOST_LEVELS = 20


class Misfit(Exception):
    """A value that is not of its column's kind: it was made by another version of the operation."""


class Scalar(StrEnum):
    """One value. `JSON` is a text that holds any value."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    JSON = "json"


@dataclass(frozen=True)
class ListOf:
    """Any number of values of one kind."""

    kind: Kind


@dataclass(frozen=True)
class StructOf:
    """A value of a kind for each of some names."""

    kinds: Mapping[str, Kind]


Kind: TypeAlias = Scalar | ListOf | StructOf

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)

_SCALARS = {
    "string": Scalar.TEXT,
    "integer": Scalar.INTEGER,
    "number": Scalar.NUMBER,
    "boolean": Scalar.BOOLEAN,
}


def fitted(kind: Kind, value: Any) -> Any:
    """Answer `value` as its column holds it, None for null. Raises Misfit."""
    if value is None:
        return None
    match kind:
        case Scalar():
            return _scalar(kind, value)
        case ListOf():
            if not isinstance(value, list):
                raise Misfit
            return [fitted(kind.kind, each) for each in value]
        case StructOf():
            if not isinstance(value, dict) or not value.keys() <= kind.kinds.keys():
                raise Misfit
            return {name: fitted(each, value.get(name)) for name, each in kind.kinds.items()}


def _scalar(kind: Scalar, value: Any) -> Any:
    match kind:
        case Scalar.TEXT if isinstance(value, str):
            return str(value)
        case Scalar.INTEGER if isinstance(value, (int, float)) and not isinstance(value, bool):
            if value == int(value) and abs(value) < _MOST_INTEGER:
                return int(value)
        case Scalar.NUMBER if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        case Scalar.BOOLEAN if isinstance(value, bool):
            return value
        case Scalar.TIME if isinstance(value, datetime):
            return value
        case Scalar.JSON:
            return as_json(value)
        case _:
            pass
    raise Misfit


def as_json(value: Any) -> str:
    """Write the same text for the same value: the order of keys is lost on the wire."""
    return _JSON.encode(value)


def kind_of(schema: Any, definitions: Mapping[str, Any], levels: int = 0) -> Kind:
    """Find the kind that holds whatever a JSON Schema allows, null besides; JSON where there is no closer one."""
    schema = meant(schema, definitions)
    named = schema.get("type")
    if levels > _MOST_LEVELS:  # it refers to itself
        return Scalar.JSON
    if named == "array" and (items := schema.get("items")):
        of = kind_of(items, definitions, levels + 1)
        return Scalar.JSON if of is Scalar.JSON else ListOf(of)
    if properties := properties_of(schema):
        kinds = {name: kind_of(each, definitions, levels + 1) for name, each in sorted(properties.items())}
        return StructOf(kinds)
    if isinstance(named, str):
        return _SCALARS.get(named, Scalar.JSON)
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return Scalar.TEXT if values and all(isinstance(value, str) for value in values) else Scalar.JSON


def properties_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """List what an object has, by name; nothing if it may have other names, or is no object."""
    properties = schema.get("properties")
    is_closed = schema.get("type") == "object" and not schema.get("additionalProperties")
    return properties if is_closed and isinstance(properties, Mapping) else {}


def meant(schema: Any, definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow references, and leave out that a value may be null; an empty schema if what is left is ambiguous."""
    for _ in range(_MOST_LEVELS):
        if not isinstance(schema, Mapping):
            return {}
        choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if isinstance(reference := schema.get("$ref"), str):
            schema = definitions.get(reference.removeprefix("#/$defs/"), {})
        elif isinstance(choices, list):
            others = [each for each in choices if each != {"type": "null"}]
            schema = others[0] if len(others) == 1 else {}
        elif isinstance(types := schema.get("type"), list):
            others = [each for each in types if each != "null"]
            schema = {**schema, "type": others[0]} if len(others) == 1 else {}
        else:
            return schema
    return {}
