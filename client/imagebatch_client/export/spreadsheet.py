"""CSV that spreadsheets open as what it is: in UTF-8, numbers as numbers, and no text of it as a formula.

Texts come from images, files and their owners. What would begin a formula gets an apostrophe before it, as OWASP
advises (https://owasp.org/www-community/attacks/CSV_Injection), also after a line break or a semicolon within a text:
where the semicolon separates cells, spreadsheets take no notice of our quotes.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from imagebatch_client.export.columns import Columns
from imagebatch_client.export.form import Images
from imagebatch_client.export.kinds import Kind, ListOf, Scalar, StructOf, as_json
from imagebatch_client.types import BatchItemResult

_BYTE_ORDER_MARK = "\ufeff"
"""By which Excel knows UTF-8."""

_FORMULA = "=+\\-@\uff1d\uff0b\uff0d\uff20"
"""What a formula begins with; the last four are full-width."""

_BEGINS = re.compile(f"[\t\r\n]|\\s*[{_FORMULA}]")
_BREAKS = re.compile("[;\t\r\n\0]")
_WITHIN = re.compile(f"([;\t\r\n][^\\S\t\r\n]*)(?=[{_FORMULA}])")


class Csv:
    """The form of `.csv`."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._cells = [_cell_of(column.kind) for column in columns]

    def head(self) -> str:
        return _BYTE_ORDER_MARK + _lines([[defused(column.name) for column in self._columns]])

    def body(self, items: Sequence[BatchItemResult], images: Images) -> str:
        return _lines(
            [
                ["" if value is None else cell(value) for cell, value in zip(self._cells, row, strict=True)]
                for row in map(self._columns.values, items)
            ]
        )

    def foot(self) -> str:
        return ""


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
    return file.getvalue()


def _cell_of(kind: Kind) -> Callable[[Any], Any]:
    """Choose how the values of a column are written."""
    match kind:
        case Scalar.TEXT:
            return defused
        case Scalar.INTEGER | Scalar.NUMBER:
            return lambda number: number
        case Scalar.BOOLEAN:
            return lambda truth: "true" if truth else "false"
        case Scalar.TIME:
            return datetime.isoformat
        case Scalar.JSON:
            return _defused_json
        case ListOf() | StructOf():
            return lambda values: _defused_json(as_json(values))


def defused(text: str) -> str:
    """Put an apostrophe before whatever a spreadsheet could take for a formula; NUL, which ends texts, is replaced."""
    if _BREAKS.search(text):
        text = _WITHIN.sub(r"\1'", text.replace("\0", "\ufffd"))
    return f"'{text}" if _BEGINS.match(text) else text


def _defused_json(text: str) -> str:
    """Write semicolons as JSON's escapes: JSON has no line breaks, and must stay JSON."""
    return defused(text.replace(";", "\\u003b"))
