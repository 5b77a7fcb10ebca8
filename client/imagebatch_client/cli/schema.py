"""Parameters against the JSON Schema that ListOperations gives, before anything is uploaded for them.

It knows the keywords that schemas of operations use and passes over others: the server has the last word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

Schema = Mapping[str, Any]

_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def problems(value: Any, schema: Schema, path: str) -> Iterator[str]:
    """Find what is wrong with `value`, one text a problem; `path` is what it is called in them."""
    yield from _problems(value, schema, path, schema.get("$defs", {}))


def resolved(schema: Schema, definitions: Schema) -> Schema:
    """Put in what `$ref` stands for."""
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    return {**definitions.get(name, {}), **schema} if name else schema


def _problems(value: Any, schema: Schema, path: str, definitions: Schema) -> Iterator[str]:
    schema = resolved(schema, definitions)
    if choices := schema.get("anyOf"):
        found = [list(_problems(value, choice, path, definitions)) for choice in choices]
        if all(found):
            yield from min(found, key=len) if len(found) == 1 else [_of_no_kind(value, choices, path, definitions)]
        return
    shown = json.dumps(value, ensure_ascii=False)
    if "const" in schema and value != schema["const"]:
        yield f"{path}: {shown} must be {json.dumps(schema['const'])}"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {shown} is none of {', '.join(map(json.dumps, schema['enum']))}"
    elif not _is_kind(value, schema.get("type")):
        yield f"{path}: {shown} is no {_kind_text(schema['type'])}"
    else:
        yield from _of_kind(value, schema, path, definitions)


def _of_kind(value: Any, schema: Schema, path: str, definitions: Schema) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _of_object(value, schema, path, definitions)
    elif isinstance(value, list):
        yield from _of_length(len(value), schema, path, "minItems", "maxItems", "elements")
        for index, element in enumerate(value):
            yield from _problems(element, schema.get("items", {}), f"{path}[{index}]", definitions)
    elif isinstance(value, str):
        yield from _of_length(len(value), schema, path, "minLength", "maxLength", "characters")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{path}: {json.dumps(value, ensure_ascii=False)} does not match {schema['pattern']}"
    elif not isinstance(value, bool) and isinstance(value, (int, float)):
        yield from _of_number(value, schema, path)


def _is_kind(value: Any, kind: str | list[str] | None) -> bool:
    kinds = [kind] if isinstance(kind, str) else kind or []
    if isinstance(value, bool):
        return not kinds or "boolean" in kinds
    if isinstance(value, float) and value.is_integer() and "integer" in kinds:
        return True
    return not kinds or any(isinstance(value, _KINDS.get(each, (object,))) for each in kinds)


def _kind_text(kind: str | list[str]) -> str:
    return kind if isinstance(kind, str) else " or ".join(kind)


def _of_no_kind(value: Any, choices: list[Schema], path: str, definitions: Schema) -> str:
    fitting = [choice for choice in choices if _is_kind(value, resolved(choice, definitions).get("type"))]
    if len(fitting) == 1:
        return next(_problems(value, fitting[0], path, definitions))
    kinds = [_kind_text(resolved(choice, definitions).get("type", "value")) for choice in choices]
    return f"{path}: {json.dumps(value, ensure_ascii=False)} is no {' or '.join(kinds)}"


def _of_object(value: dict[str, Any], schema: Schema, path: str, definitions: Schema) -> Iterator[str]:
    known = schema.get("properties", {})
    others = schema.get("additionalProperties", {})
    for name in schema.get("required", []):
        if name not in value:
            yield f"{path}.{name}: is missing"
    for name, each in value.items():
        if name in known:
            yield from _problems(each, known[name], f"{path}.{name}", definitions)
        elif others is False:
            close = get_close_matches(name, known, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"there are {', '.join(known) or 'none'}"
            yield f"{path}.{name}: is unknown; {remedy}"
        elif isinstance(others, dict):
            yield from _problems(each, others, f"{path}.{name}", definitions)


def _of_length(length: int, schema: Schema, path: str, least: str, most: str, unit: str) -> Iterator[str]:
    if length < schema.get(least, 0):
        yield f"{path}: has {length} {unit}, and needs {schema[least]}"
    if length > schema.get(most, length):
        yield f"{path}: has {length} {unit}, and may have {schema[most]}"


def _of_number(value: float, schema: Schema, path: str) -> Iterator[str]:
    if value < schema.get("minimum", value):
        yield f"{path}: {value} is below {schema['minimum']}"
    if value > schema.get("maximum", value):
        yield f"{path}: {value} is above {schema['maximum']}"
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        yield f"{path}: {value} is not above {schema['exclusiveMinimum']}"
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        yield f"{path}: {value} is not below {schema['exclusiveMaximum']}"
