"""Manifests: JSON Lines or CSV, one image a line, with an item_id and metadata of its own."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Final

from imagebatch_client.cli.connection import usage_error
from imagebatch_client.cli.entries import Entry, ImageUrl, Source, StoredImage
from imagebatch_client.cli.typed_json import read_json
from imagebatch_client.files import ImageFile, valid_text

_INPUTS: Final = ("path", "url", "object_key")
_COLUMNS: Final = (*_INPUTS, "item_id", "metadata")
_NESTED: Final = "metadata."


def read_manifest(typed: str) -> list[Entry]:
    """Read the images that a manifest names; `-` reads JSON Lines from standard input.

    Paths are taken from the manifest's own folder. Raises InvalidRequestError with every line that is wrong.
    """
    text, name, folder = _text(typed)
    lines = _csv_lines if folder is not None and name.lower().endswith(".csv") else _json_lines
    entries, problems = [], []
    for number, fields in lines(text):
        where = f"{name}, line {number}"
        try:
            entries.append(_entry(fields(), f"--manifest: {where}", folder or Path()))
        except _WrongLineError as error:
            problems.append(f"{where}: {error}")
    if problems:
        raise usage_error("--manifest", *problems)
    if not entries:
        raise usage_error("--manifest", f'{name} names no image; write one a line, as {{"path": "cat.jpg"}}')
    return entries


class _WrongLineError(Exception):
    """What is wrong with one line."""


def _text(typed: str) -> tuple[str, str, Path | None]:
    """Read it whole, with what it is called and its folder."""
    if typed == "-":
        if sys.stdin is None:
            raise usage_error("--manifest", "- reads standard input, which is closed")
        return sys.stdin.read(), "standard input", None
    path = Path(typed)
    try:
        return path.read_text(encoding="utf-8-sig"), typed, path.parent
    except OSError as error:
        raise usage_error("--manifest", f"{typed} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise usage_error("--manifest", f"{typed} is no UTF-8 text; save it as such") from error


Fields = Callable[[], dict[str, Any]]
"""Reads one line. Raises _WrongLineError."""


def _json_lines(text: str) -> Iterator[tuple[int, Fields]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, partial(_of_json, line)


def _of_json(line: str) -> dict[str, Any]:
    fields = _read(line, "")
    if not isinstance(fields, dict):
        raise _WrongLineError('is no object; write {"path": "cat.jpg"}')
    return {key: value for key, value in fields.items() if value is not None}


def _read(text: str, what: str) -> Any:
    try:
        return read_json(text)
    except json.JSONDecodeError as error:
        raise _WrongLineError(f"{what}is no JSON: {error}") from error
    except ValueError as error:
        raise _WrongLineError(f"{what.rstrip() + ': ' if what else ''}{error}") from error


def _csv_lines(text: str) -> Iterator[tuple[int, Fields]]:
    """Columns `metadata.a.b` are texts in the metadata; the column `metadata` is a JSON object."""
    reader = csv.DictReader(io.StringIO(text))
    try:
        _check_columns(reader.fieldnames or ())
        for row in reader:
            yield reader.line_num, partial(_of_row, row)
    except csv.Error as error:
        raise usage_error("--manifest", f"line {reader.line_num} is no CSV: {error}") from error


def _check_columns(names: Sequence[str]) -> None:
    problem = None
    if len(names) == 1 and (other := [it for it in (";", "\t") if it in names[0]]):
        problem = f"has {other[0]!r} between its columns; write commas"
    elif not any(names):
        problem = f"names no columns in its first line; there are {', '.join(_COLUMNS)}"
    elif len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        problem = f"has the column {twice!r:.80} twice; give it once"
    if problem is not None:
        raise usage_error("--manifest", f"the CSV {problem}")


def _of_row(row: dict[str | None, Any]) -> dict[str, Any]:
    if None in row:
        raise _WrongLineError("has more values than there are columns")
    given = {str(key): value for key, value in row.items() if value}
    fields = {key: value for key, value in given.items() if not key.startswith(_NESTED)}
    if "metadata" in fields:
        fields["metadata"] = _read(fields["metadata"], "metadata ")
        if not isinstance(fields["metadata"], dict):
            raise _WrongLineError("metadata is no object")
    for key, value in given.items():
        if key.startswith(_NESTED):
            _put_nested(fields.setdefault("metadata", {}), key.removeprefix(_NESTED).split("."), value)
    return fields


def _put_nested(into: dict[str, Any], keys: list[str], value: str) -> None:
    for key in keys[:-1]:
        into = into.setdefault(key, {})
        if not isinstance(into, dict):
            raise _WrongLineError(f"metadata.{key} is a value and has values below it; give one of them")
    into[keys[-1]] = value


def _entry(fields: Mapping[str, Any], where: str, folder: Path) -> Entry:
    if unknown := [key for key in fields if key not in _COLUMNS]:
        close = get_close_matches(unknown[0], _COLUMNS, n=1)
        remedy = f"did you mean {close[0]}?" if close else f"there are {', '.join(_COLUMNS)}"
        raise _WrongLineError(f"{unknown[0]!r} is unknown; {remedy}")
    given = [name for name in _INPUTS if name in fields]
    if len(given) != 1:
        raise _WrongLineError(f"has {' and '.join(given) or 'no image'}; give one of path, url, object_key")
    for name in (*given, "item_id"):
        if not isinstance(fields.get(name, ""), str):
            raise _WrongLineError(f"{name} is no text")
    metadata = fields.get("metadata")
    if not isinstance(metadata, dict | None):
        raise _WrongLineError("metadata is no object")
    return Entry(_source(given[0], fields[given[0]], folder), fields.get("item_id"), metadata, where)


def _source(kind: str, value: str, folder: Path) -> Source:
    if kind == "url":
        return ImageUrl(value)
    if kind == "object_key":
        return StoredImage(value)
    if not value or "\0" in value:
        raise _WrongLineError(f"path {value!r:.80} is none")
    return ImageFile(folder / value, valid_text(value))
