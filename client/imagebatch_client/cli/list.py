"""`imagebatch list`: the newest batches."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from imagebatch_client.cli import completion, options, render
from imagebatch_client.cli.connection import connect
from imagebatch_client.cli.terminal import note, put
from imagebatch_client.texts import one_line


def list_batches(
    ctx: typer.Context,
    status: options.ByStatus = None,
    operation: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only batches of this operation.", autocompletion=completion.operations),
    ] = None,
    label: options.ByLabel = None,
    limit: Annotated[int, typer.Option(parser=options.whole(1), metavar="N", help="Most batches to print.")] = 20,
    as_json: options.AsJson = False,
) -> None:
    """List batches, the newest first.

    \b
    Examples:
      imagebatch list
      imagebatch list --status processing --label run=nightly --json
    """
    labels = options.pairs("--label", label or [])
    with connect(ctx) as client:
        found = client.list_batches(
            statuses=status or [], operation=operation, labels=labels, page_size=min(limit, 1000)
        )
        batches = list(islice(found, limit))
    if as_json:
        for batch in batches:
            put(render.as_json(batch))
        return
    rows = [("BATCH", "CREATED", "OPERATION", "STATUS", "DONE", "FAILED", "LABELS")]
    rows += [
        (
            batch.batch_id,
            render.local_time(batch.created_at),
            one_line(batch.operation),
            render.state(batch),
            f"{batch.processed_items}/{batch.total_items}",
            str(batch.failed_items or ""),
            render.labels(batch),
        )
        for batch in batches
    ]
    put("\n".join(render.aligned(rows)))
    note(
        f"{render.counted(len(batches), 'batch', 'batches')}."
        if len(batches) < limit
        else f"The newest {limit}; more with --limit."
    )
