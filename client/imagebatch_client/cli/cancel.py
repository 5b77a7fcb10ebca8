"""`imagebatch cancel`: one batch or several."""

from __future__ import annotations

import typer

from imagebatch_client.cli import chosen, options, render
from imagebatch_client.cli.connection import connect
from imagebatch_client.cli.terminal import note, put
from imagebatch_client.texts import spaced
from imagebatch_client.types import BatchStatus


def cancel(
    ctx: typer.Context,
    batch_ids: options.BatchIds = None,
    label: options.ByLabel = None,
    status: options.ByStatus = None,
    is_sure: options.IsSure = False,
    as_json: options.AsJson = False,
) -> None:
    """Cancel batches; their results so far are kept.

    What is being worked on finishes, all else is skipped. By --label or --status, it asks before it cancels.

    \b
    Examples:
      imagebatch cancel BATCH_ID
      imagebatch cancel --label run=nightly
    """
    with connect(ctx) as client:
        found = chosen.batch_ids(
            client,
            batch_ids or [],
            verb="cancel",
            labels=label or [],
            statuses=status or [],
            possible=chosen.RUNNING,
            is_sure=is_sure,
        )
        for batch_id in found:
            answer = client.cancel(batch_id)
            put(render.as_json(answer) if as_json else render.status_lines(answer))
            if answer.is_terminal() and answer.status is not BatchStatus.CANCELLED:
                note(f"The batch had already ended: {spaced(answer.status)}.")
