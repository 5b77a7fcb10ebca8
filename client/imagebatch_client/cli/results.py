"""`imagebatch results`: a batch's items, page by page."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import StrEnum
from itertools import islice
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from imagebatch_client.cli import options, render
from imagebatch_client.cli.connection import connect, note, usage_error
from imagebatch_client.types import BatchItemResult, BatchItemStatus

_TABLE_ITEMS = 100
_PAGE_ITEMS = 1000
# Wide enough for a description to wrap well where no terminal says how wide the reader's page is.
_PIPED_WIDTH = 120


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSONL = "jsonl"


def results(
    ctx: typer.Context,
    batch_id: options.BatchId,
    output_format: Annotated[
        Format, typer.Option("--format", help="A table of 100 items, or all items as JSON, one a line.")
    ] = Format.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
    failed_only: Annotated[bool, typer.Option("--failed-only", help="Only items that failed.")] = False,
    status: Annotated[
        list[BatchItemStatus] | None,
        typer.Option(metavar="STATE", help="Only success, failed, skipped or pending (no outcome yet). Repeatable."),
    ] = None,
    offset: Annotated[int, typer.Option(metavar="N", help="Pass over the first N items that match.")] = 0,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Most items to print. Default: 100 in a table, else all.")
    ] = None,
) -> None:
    """Print a batch's items, finished or not.

    They come in the order in which they were submitted.

    \b
    Examples:
      imagebatch results BATCH_ID
      imagebatch results BATCH_ID --failed-only
      imagebatch results BATCH_ID --format jsonl > results.jsonl
    """
    if limit is not None and limit < 1:
        raise usage_error("--limit", f"{limit} is below 1")
    as_lines = as_json or output_format is Format.JSONL
    most = limit if as_lines else limit or _TABLE_ITEMS
    if failed_only and status:
        raise usage_error("--failed-only", "says the same as --status failed; give one of them")
    statuses = [BatchItemStatus.FAILED] if failed_only else status or []
    with connect(ctx) as client:
        page_size = min(most or _PAGE_ITEMS, _PAGE_ITEMS)
        items = client.get_all_results(batch_id, page_size=page_size, statuses=statuses, offset=offset)
        if as_lines:
            for item in islice(items, most):
                sys.stdout.write(f"{render.as_json(item)}\n")
            return
        shown = list(islice(items, most))
        total = client.get_results(batch_id, limit=1, statuses=statuses).pagination.total
    _print_table(shown)
    note(f"{len(shown)} of {total} items, from offset {offset}.")
    if offset + len(shown) < total:
        note(f"More with: imagebatch results {batch_id} --offset {offset + len(shown)}")


def _print_table(items: Iterable[BatchItemResult]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPED_WIDTH)
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
            Text(render.shown_name(item)),
            Text(item.status, style=render.ITEM_STYLES[item.status]),
            Text(render.outcome(item)),
            "" if score is None else f"{score:.2f}",
            "" if time_ms is None else str(time_ms),
        )
    console.print(table)
