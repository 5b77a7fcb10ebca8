"""`imagebatch pause`: one batch or several."""

from __future__ import annotations

import typer

from imagebatch_client.cli import chosen, options, render
from imagebatch_client.cli.connection import connect
from imagebatch_client.cli.terminal import put


def pause(
    ctx: typer.Context,
    batch_ids: options.BatchIds = None,
    label: options.ByLabel = None,
    status: options.ByStatus = None,
    is_sure: options.IsSure = False,
    as_json: options.AsJson = False,
) -> None:
    """Pause batches until they are resumed.

    What is being worked on finishes, and nothing more is begun. By --label or --status, it asks before it pauses.

    \b
    Examples:
      imagebatch pause BATCH_ID
      imagebatch pause --label run=nightly
    """
    with connect(ctx) as client:
        found = chosen.batch_ids(
            client,
            batch_ids or [],
            verb="pause",
            labels=label or [],
            statuses=status or [],
            possible=chosen.RUNNING,
            refused_else="it has ended",
            is_sure=is_sure,
        )
        for batch_id in found:
            answer = client.pause(batch_id)
            put(render.as_json(answer) if as_json else render.status_lines(answer))
