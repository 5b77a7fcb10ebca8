"""`imagebatch delete`: one batch or several."""

from __future__ import annotations

import typer

from imagebatch_client.cli import chosen, options
from imagebatch_client.cli.connection import connect
from imagebatch_client.cli.terminal import note
from imagebatch_client.types import BatchStatus

_POSSIBLE = frozenset(BatchStatus) - chosen.RUNNING


def delete(
    ctx: typer.Context,
    batch_ids: options.BatchIds = None,
    label: options.ByLabel = None,
    status: options.ByStatus = None,
    is_sure: options.IsSure = False,
) -> None:
    """Delete batches that have ended, with their results.

    By --label or --status, it asks before it deletes.

    \b
    Examples:
      imagebatch delete BATCH_ID
      imagebatch delete --status failed --label run=nightly
    """
    with connect(ctx) as client:
        found = chosen.batch_ids(
            client,
            batch_ids or [],
            verb="delete",
            labels=label or [],
            statuses=status or [],
            possible=_POSSIBLE,
            refused_else="cancel it, and wait for its end",
            is_sure=is_sure,
        )
        for batch_id in found:
            client.delete(batch_id)
            note(f"Deleted {batch_id}.")
