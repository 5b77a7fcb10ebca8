"""The formats of text by the endings of their files: the one place that chooses, for this library and the server."""

from __future__ import annotations

from imagebatch_client.export.columns import Columns
from imagebatch_client.export.cursor import Cursor
from imagebatch_client.export.form import Form
from imagebatch_client.export.json_lines import JsonLines
from imagebatch_client.export.page import Page
from imagebatch_client.export.spreadsheet import Csv


def form_of(suffix: str, batch: Cursor) -> Form:
    """Choose the form of a file that ends in `suffix`: `.csv`, `.jsonl` or `.html`. Raises KeyError for others."""
    match suffix:
        case ".csv":
            return Csv(Columns(batch.output_schema))
        case ".jsonl":
            return JsonLines()
        case ".html":
            return Page(batch)
    raise KeyError(suffix)
