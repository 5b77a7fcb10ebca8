"""`imagebatch export`: a batch's items as a file."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from imagebatch_client.cli import chosen, exits, options, render
from imagebatch_client.cli.connection import Stopped, connect, usage_error
from imagebatch_client.cli.terminal import console, note
from imagebatch_client.errors import ImagebatchError, InvalidRequestError
from imagebatch_client.sync import BatchClient
from imagebatch_client.types import BatchExport


def export(
    ctx: typer.Context,
    batch_id: options.BatchId,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write it; its ending says the format: .parquet, .csv, .jsonl or .html.",
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Write over a file that is there, or another batch's started export.")
    ] = False,
) -> None:
    """Write all items of a batch to a file.

    They come in the order in which they were submitted, each as it is when it is read, those without an outcome too.
    An interrupted export is repeated to go on: until the file is whole, it is in a folder beside it, FILE.part.

    \b
    .parquet  columns with types, by the operation's output; needs imagebatch-client[export]
    .csv      the same columns for spreadsheets, which execute nothing of it
    .jsonl    what `imagebatch results --json` prints
    .html     one page with previews, or else images that the operation stored; up to 10,000 items

    \b
    Examples:
      imagebatch export BATCH_ID -o results.parquet
      imagebatch export latest -o results.csv --force
    """
    with connect(ctx) as client:
        done = _exported(client, chosen.batch_id(client, batch_id), output, replaces=force)
    note(f"Wrote {render.counted(done.items, 'item', 'items')} to {done.path}.")
    if done.waiting_items:
        were = render.counted(done.waiting_items, "item was", "items were")
        note(f"{were} not done when read; export again for the rest, with --force.")


def _exported(client: BatchClient, batch_id: str, output: str, *, replaces: bool) -> BatchExport:
    shown_on = console(stderr=True)
    bar = Progress(
        TextColumn("Exporting"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=shown_on,
        transient=True,
    )
    task = bar.add_task("", total=None)
    last: BatchExport | None = None

    def show(progress: BatchExport) -> None:
        nonlocal last
        last = progress
        bar.update(task, completed=progress.items, total=progress.total_items)

    shown: AbstractContextManager[object] = bar if shown_on.is_terminal else nullcontext()
    try:
        with shown:
            return client.export(batch_id, output, replace=replaces, on_export=show)
    except KeyboardInterrupt:
        raise Stopped(f"Stopped{_after(last)}; repeat the command, and it goes on.") from None
    except InvalidRequestError as error:
        if [violation.field for violation in error.violations] == ["path"]:
            raise usage_error("--output", error.violations[0].description) from error
        raise
    except ImagebatchError:
        if last is not None:
            note(f"It ended{_after(last)}; repeat the command, and it goes on.")
        raise
    except OSError as error:
        note(f"imagebatch: {output} can't be written: {error.strerror or error}")
        raise typer.Exit(exits.OUTPUT_FAILED) from error


def _after(progress: BatchExport | None) -> str:
    return "" if progress is None else f" after {progress.items:,} of {progress.total_items:,} items"
