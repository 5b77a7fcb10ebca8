"""Answers as plain values: dicts, JSON, rows for a data frame, and tables for a notebook."""

from __future__ import annotations

import dataclasses
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

_ROWS_SHOWN = 100


class Record:
    """What the public dataclasses have in common."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Take the fields as plain values, those of other records too; times stay datetimes."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # whatever inherits from this is a dataclass
        return {field.name: _plain(getattr(self, field.name)) for field in fields}

    def to_json(self) -> str:
        """Write the same as JSON with the contract's field names; times are ISO 8601."""
        return json.dumps(self.to_dict(), default=_in_json, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


def _in_json(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def rows(results: Iterable[Record]) -> list[dict[str, Any]]:
    """Make one flat dict an item, as `pandas.DataFrame` takes them.

    Keys of inputs and outputs have their path: `input.image_url`, `input.metadata.rank`, `output.description`. Lists
    stay lists.
    """
    return [_row(result) for result in results]


def _row(result: Record) -> dict[str, Any]:
    row = result.to_dict()
    for name, prefix in (("input_data", "input"), ("output_data", "output")):
        _flatten(row.pop(name) or {}, prefix, row)
    return row


def _flatten(values: Mapping[str, Any], prefix: str, into: dict[str, Any]) -> None:
    for key, value in values.items():
        path = f"{prefix}.{key}"
        if isinstance(value, Mapping):
            _flatten(value, path, into)
        else:
            into[path] = value


def html_table(title: str, header: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """Make a table for a notebook, with every text escaped: it may come from images, files and servers."""
    head = "".join(f"<th>{_escaped(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{_escaped(cell)}</td>' for cell in line)}</tr>" for line in lines[:_ROWS_SHOWN])
    more = f"<p>and {len(lines) - _ROWS_SHOWN} more</p>" if len(lines) > _ROWS_SHOWN else ""
    return f"<p>{_escaped(title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _escaped(value: Any) -> str:
    return html.escape("" if value is None else str(value))
