"""`imagebatch watch`: each item as it finishes."""

from __future__ import annotations

from typing import Annotated

import typer

from imagebatch_client.cli import chosen, completion, options
from imagebatch_client.cli.connection import connect
from imagebatch_client.cli.follow import follow
from imagebatch_client.cli.units import seconds
from imagebatch_client.types import BatchItemStatus

_OUTCOMES = (BatchItemStatus.SUCCESS, BatchItemStatus.FAILED, BatchItemStatus.SKIPPED)


def watch(
    ctx: typer.Context,
    batch_id: options.BatchId,
    after_sequence: Annotated[
        int,
        typer.Option(parser=options.whole(0), metavar="N", help="Leave out the first N outcomes: those you have seen."),
    ] = 0,
    status: Annotated[
        list[BatchItemStatus] | None,
        typer.Option(
            parser=options.one_of(_OUTCOMES),
            autocompletion=completion.values(_OUTCOMES),
            metavar="STATE",
            help="Show only success, failed or skipped. Repeatable.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(parser=seconds, metavar="TIME", help="Most time to watch, such as 5m. Default: no end."),
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
        code = follow(
            client,
            chosen.batch_id(client, batch_id),
            after_sequence=after_sequence,
            timeout=timeout,
            statuses=status or [],
            as_json=as_json,
        )
    raise typer.Exit(code)
