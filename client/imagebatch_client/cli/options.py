"""Options and arguments that several verbs share, and how their values are read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from imagebatch_client.cli.connection import usage_error

BatchId = Annotated[str, typer.Argument(metavar="BATCH_ID", help="The batch's id, as submit prints it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, with the contract's field names.")]


def pairs(option: str, values: Iterable[str]) -> dict[str, str]:
    """Reads KEY=VALUE options. Raises InvalidRequestError for one without a key or a "="."""
    split = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not key or not equals:
            raise usage_error(option, f"{value!r} is not KEY=VALUE")
        split[key] = text
    return split


def parameters(as_json: str | None, singly: Iterable[str]) -> dict[str, Any] | None:
    """Reads --parameters (JSON, or @FILE with JSON) and, over it, each --param KEY=VALUE.

    A VALUE that is JSON is taken as such (3, true, ["a"]), anything else as text.
    """
    chosen = {} if as_json is None else _json_object(as_json)
    for key, text in pairs("--param", singly).items():
        try:
            chosen[key] = json.loads(text)
        except ValueError:
            chosen[key] = text
    return chosen or None


def _json_object(text: str) -> dict[str, Any]:
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise usage_error("--parameters", f"{text[1:]} can't be read: {error}") from error
    try:
        value = json.loads(text)
    except ValueError as error:
        raise usage_error("--parameters", f"is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise usage_error("--parameters", f"is a JSON {type(value).__name__}; give an object, such as {{}}")
    return value
