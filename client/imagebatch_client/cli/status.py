"""`imagebatch status`: where a batch stands."""

from __future__ import annotations

import typer

from imagebatch_client.cli import chosen, options, render
from imagebatch_client.cli.connection import connect
from imagebatch_client.cli.terminal import put


def status(ctx: typer.Context, batch_id: options.BatchId, as_json: options.AsJson = False) -> None:
    """Print where a batch stands.

    \b
    Examples:
      imagebatch status BATCH_ID
      imagebatch status latest
    """
    with connect(ctx) as client:
        found = client.get_status(chosen.batch_id(client, batch_id))
    put(render.as_json(found) if as_json else render.status_lines(found))
