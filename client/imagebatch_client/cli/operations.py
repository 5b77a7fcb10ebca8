"""`imagebatch operations`: what the server can do."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any

import typer

from imagebatch_client.cli import completion, options, render
from imagebatch_client.cli.connection import connect, usage_error
from imagebatch_client.cli.schema import Schema, resolved
from imagebatch_client.cli.terminal import console, put
from imagebatch_client.texts import one_line
from imagebatch_client.types import Operation

_MOST_WIDTH = 100
"""Longer lines are hard to read."""


def operations(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Only this operation.", autocompletion=completion.operations),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List what the server can do, with parameters.

    \b
    Examples:
      imagebatch operations
      imagebatch operations thumbnail
      imagebatch operations describe --json | jq .output_schema
    """
    with connect(ctx) as client:
        offered = client.list_operations()
    if name is not None:
        offered = [_named(name, offered)]
    if as_json:
        for operation in offered:
            put(render.as_json(operation))
        return
    put("\n\n".join("\n".join(_described(operation)) for operation in offered))


def _named(name: str, offered: list[Operation]) -> Operation:
    for operation in offered:
        if operation.name == name:
            return operation
    names = [operation.name for operation in offered]
    close = get_close_matches(name, names, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"it offers {', '.join(names)}"
    raise usage_error("NAME", f"{name!r} is unknown to the server; {remedy}")


def _described(operation: Operation) -> Iterator[str]:
    yield f"{operation.name} (version {operation.version})"
    yield from _wrapped(operation.description, 2)
    schema = operation.parameters_schema or {}
    required, definitions = schema.get("required", []), schema.get("$defs", {})
    properties: dict[str, Schema] = schema.get("properties", {})
    for name in sorted(properties, key=lambda name: (name not in required, name)):
        parameter = properties[name]
        yield from _wrapped(f"--param {name}=...  {_kind(parameter, definitions, name in required)}", 2, hanging=8)
        yield from _wrapped(str(parameter.get("description", "")), 6)


def _wrapped(text: str, indent: int, hanging: int = 0) -> list[str]:
    out = console()
    width = min(out.width, _MOST_WIDTH) if out.is_terminal else _MOST_WIDTH
    margin = " " * indent
    return textwrap.wrap(
        one_line(text),
        max(width, 40),
        initial_indent=margin,
        subsequent_indent=margin + " " * hanging,
        break_on_hyphens=False,
    )


def _kind(schema: Schema, definitions: Schema, is_required: bool) -> str:
    """Say what a parameter may be, and what it is if it is not given."""
    kinds = [_one_kind(kind, definitions) for kind in schema.get("anyOf", [schema])]
    parts = [" or ".join(kind for kind in dict.fromkeys(kinds) if kind != "null")]
    default = schema.get("default")
    if is_required:
        parts.append("required")
    elif default is not None and not isinstance(default, dict):
        parts.append(f"default {json.dumps(default, ensure_ascii=False)}")
    return ", ".join(filter(None, parts))


def _one_kind(schema: Schema, definitions: Schema) -> str:
    schema = resolved(schema, definitions)
    if "enum" in schema:
        return "one of " + ", ".join(str(choice) for choice in schema["enum"])
    kind: Any = schema.get("type", "any value")
    if kind == "array":
        each = _one_kind(schema.get("items", {}), definitions)
        return f"list of {each}" if not each.startswith("one of ") else f"some of {each.removeprefix('one of ')}"
    if kind == "object" and schema.get("properties"):
        return f"object with {', '.join(sorted(schema['properties']))}"
    return f"{kind}{_range(schema)}" if isinstance(kind, str) else " or ".join(map(str, kind))


def _range(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f" from {least} to {most}"
    return f" of at least {least}" if least is not None else f" of at most {most}" if most is not None else ""
