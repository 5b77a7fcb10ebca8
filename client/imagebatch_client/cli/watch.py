"""`imagebatch watch`: each item as it finishes."""

from __future__ import annotations

from typing import Annotated

import typer

from imagebatch_client.cli import options
from imagebatch_client.cli.connection import connect
from imagebatch_client.cli.follow import follow
from imagebatch_client.types import BatchItemStatus


def watch(
    ctx: typer.Context,
    batch_id: options.BatchId,
    after_sequence: Annotated[
        int, typer.Option(metavar="N", help="Leave out the first N outcomes: those you have seen.")
    ] = 0,
    status: Annotated[
        list[BatchItemStatus] | None,
        typer.Option(metavar="STATE", help="Show only success, failed or skipped. Repeatable."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show each item as it finishes, until the batch has ended.

    Goes on by itself when the connection breaks or the server restarts. Ctrl-C stops the watching, never the batch, and
    says how to go on from there.

    \b
    Examples:
      imagebatch watch BATCH_ID
      imagebatch watch BATCH_ID --after-sequence 120
      imagebatch watch BATCH_ID --json | jq .output_data.description
    """
    with connect(ctx) as client:
        code = follow(client, batch_id, after_sequence=after_sequence, statuses=status or [], as_json=as_json)
    raise typer.Exit(code)
