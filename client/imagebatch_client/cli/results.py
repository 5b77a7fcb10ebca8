"""`imagebatch results`: a batch's items, page by page."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from itertools import islice
from typing import Annotated, TypedDict

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from imagebatch_client import shown
from imagebatch_client.cli import chosen, completion, options, render
from imagebatch_client.cli.connection import connect, usage_error
from imagebatch_client.cli.progress import plain_line
from imagebatch_client.cli.terminal import console, note, put
from imagebatch_client.types import BatchItemResult, BatchItemStatus, ItemErrorCode

_STATES = (BatchItemStatus.SUCCESS, BatchItemStatus.FAILED, BatchItemStatus.SKIPPED, BatchItemStatus.PENDING)
_TABLE_ITEMS = 100
_PAGE_ITEMS = 1000
# Wide enough for a description to wrap well where no terminal says how wide the reader's page is.
_PIPED_WIDTH = 120
_LEAST_TABLE_WIDTH = 64
"""A narrower table breaks every word; lines break by themselves."""


class _Wanted(TypedDict):
    """The filters, as both of the client's methods take them."""

    statuses: list[BatchItemStatus]
    error_codes: list[ItemErrorCode]
    text: str | None


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSONL = "jsonl"


def results(
    ctx: typer.Context,
    batch_id: options.BatchId,
    output_format: Annotated[
        Format,
        typer.Option(
            "--format",
            parser=options.one_of(Format),
            autocompletion=completion.values(Format),
            metavar="table|jsonl",
            help="A table of 100 items, or all items as JSON, one a line.",
        ),
    ] = Format.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
    failed_only: Annotated[bool, typer.Option("--failed-only", help="Only items that failed.")] = False,
    status: Annotated[
        list[BatchItemStatus] | None,
        typer.Option(
            parser=options.one_of(_STATES),
            autocompletion=completion.values(_STATES),
            metavar="STATE",
            help="Only success, failed, skipped or pending (no outcome yet). Repeatable.",
        ),
    ] = None,
    error_code: Annotated[
        list[ItemErrorCode] | None,
        typer.Option(
            parser=options.one_of(ItemErrorCode),
            autocompletion=completion.values(ItemErrorCode),
            metavar="CODE",
            help="Only items that failed or were skipped with this code, such as timeout. Repeatable.",
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only items with this text in their output or message; A to Z in any case."),
    ] = None,
    offset: Annotated[
        int, typer.Option(parser=options.whole(0), metavar="N", help="Pass over the first N items that match.")
    ] = 0,
    limit: Annotated[
        int | None,
        typer.Option(
            parser=options.whole(1), metavar="N", help="Most items to print. Default: 100 in a table, else all."
        ),
    ] = None,
) -> None:
    """Print a batch's items, finished or not.

    They come in the order in which they were submitted.

    \b
    Examples:
      imagebatch results BATCH_ID
      imagebatch results BATCH_ID --failed-only
      imagebatch results BATCH_ID --error-code timeout
      imagebatch results BATCH_ID --text "red car"
      imagebatch results BATCH_ID --format jsonl > results.jsonl
    """
    as_lines = as_json or output_format is Format.JSONL
    most = limit if as_lines else limit or _TABLE_ITEMS
    if failed_only and status:
        raise usage_error("--failed-only", "says the same as --status failed; give one of them")
    statuses = [BatchItemStatus.FAILED] if failed_only else status or []
    with connect(ctx) as client:
        batch_id = chosen.batch_id(client, batch_id)
        page_size = min(most or _PAGE_ITEMS, _PAGE_ITEMS)
        wanted: _Wanted = {"statuses": statuses, "error_codes": error_code or [], "text": text}
        items = client.get_all_results(batch_id, page_size=page_size, offset=offset, **wanted)
        if as_lines:
            for item in islice(items, most):
                put(render.as_json(item))
            return
        shown = list(islice(items, most))
        total = client.get_results(batch_id, limit=1, **wanted).pagination.total
    _print_table(shown)
    note(f"{len(shown)} of {render.counted(total, 'item', 'items')}, from offset {offset}.")
    if offset + len(shown) < total:
        note(f"More with: imagebatch results {batch_id} --offset {offset + len(shown)}")


def _print_table(items: Iterable[BatchItemResult]) -> None:
    out = console()
    if not out.is_terminal:
        out.width = _PIPED_WIDTH
    if out.width < _LEAST_TABLE_WIDTH:
        for item in items:
            put(plain_line(item))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("#", justify="right", style="dim", no_wrap=True)
    table.add_column("File", overflow="fold", max_width=32)
    table.add_column("Status", no_wrap=True)
    table.add_column("Outcome", overflow="fold", ratio=1)
    table.add_column("Score", justify="right", no_wrap=True)
    table.add_column("ms", justify="right", style="dim", no_wrap=True)
    for item in items:
        score, time_ms = item.confidence_score, item.processing_time_ms
        table.add_row(
            str(item.item_index),
            Text(shown.name(item)),
            Text(item.status, style=render.ITEM_STYLES[item.status]),
            Text(shown.outcome(item)),
            "" if score is None else f"{score:.2f}",
            "" if time_ms is None else str(time_ms),
        )
    out.print(table)
