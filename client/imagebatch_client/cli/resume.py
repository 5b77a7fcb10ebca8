"""`imagebatch resume`: one batch or several."""

from __future__ import annotations

import typer

from imagebatch_client.cli import chosen, options, render
from imagebatch_client.cli.connection import connect
from imagebatch_client.cli.terminal import put


def resume(
    ctx: typer.Context,
    batch_ids: options.BatchIds = None,
    label: options.ByLabel = None,
    status: options.ByStatus = None,
    is_sure: options.IsSure = False,
    as_json: options.AsJson = False,
) -> None:
    """Let paused batches go on.

    A batch that isn't paused goes on as it is. By --label or --status, it asks before it resumes.

    \b
    Examples:
      imagebatch resume BATCH_ID
      imagebatch resume --label run=nightly
    """
    with connect(ctx) as client:
        found = chosen.batch_ids(
            client,
            batch_ids or [],
            verb="resume",
            labels=label or [],
            statuses=status or [],
            possible=chosen.RUNNING,
            refused_else="it has ended",
            is_sure=is_sure,
        )
        for batch_id in found:
            answer = client.resume(batch_id)
            put(render.as_json(answer) if as_json else render.status_lines(answer))
