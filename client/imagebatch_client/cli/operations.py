"""`imagebatch operations`: what the server can do."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer

from imagebatch_client.cli import options, render
from imagebatch_client.cli.connection import connect
from imagebatch_client.types import Operation


def operations(ctx: typer.Context, as_json: options.AsJson = False) -> None:
    """List what the server can do, with parameters.

    \b
    Examples:
      imagebatch operations
      imagebatch operations --json | jq 'select(.name == "describe").output_schema'
    """
    with connect(ctx) as client:
        offered = client.list_operations()
    for operation in offered:
        sys.stdout.write(f"{render.as_json(operation) if as_json else _described(operation)}\n")


def _described(operation: Operation) -> str:
    lines = [f"{operation.name} (version {operation.version})", f"  {render.one_line(operation.description)}"]
    schema = operation.parameters_schema or {}
    required = schema.get("required", [])
    for name, parameter in schema.get("properties", {}).items():
        lines.append(f"  --param {name}=...  {_parameter(parameter, name in required)}")
    return "\n".join(lines)


def _parameter(schema: dict[str, Any], is_required: bool) -> str:
    kinds = [schema, *schema.get("anyOf", [])]
    choices = [each for kind in kinds for each in kind.get("enum", [])]
    kind = " or ".join(dict.fromkeys(kind["type"] for kind in kinds if isinstance(kind.get("type"), str)))
    parts = [
        "one of " + ", ".join(json.dumps(choice) for choice in choices) if choices else kind,
        "required" if is_required else f"default {json.dumps(schema['default'])}" if "default" in schema else "",
    ]
    text = ", ".join(part for part in parts if part)
    description = render.one_line(str(schema.get("description", "")))
    return f"{text}: {description}" if text and description else text or description
