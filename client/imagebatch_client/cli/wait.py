"""`imagebatch wait`: until a batch has ended, without showing its items."""

from __future__ import annotations

from typing import Annotated

import typer

from imagebatch_client.cli import chosen, exits, options, render
from imagebatch_client.cli.connection import connect
from imagebatch_client.cli.follow import resume_note, tell_failures
from imagebatch_client.cli.terminal import note, put
from imagebatch_client.cli.units import seconds
from imagebatch_client.errors import BatchFailedError, BatchTimeoutError


def wait(
    ctx: typer.Context,
    batch_id: options.BatchId,
    timeout: Annotated[
        float | None,
        typer.Option(
            parser=seconds,
            metavar="TIME",
            help="Most time to wait, such as 30s, 5m or 2h. 0 looks once. Default: no end.",
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Wait until a batch has ended, and print how.

    The exit code tells how it ended, or that it had not when the time was up.

    \b
    Examples:
      imagebatch wait BATCH_ID --timeout 10m
      imagebatch submit photos/ -o describe && imagebatch wait latest && imagebatch results latest
    """
    with connect(ctx) as client:
        found = chosen.batch_id(client, batch_id)
        try:
            status = client.wait_for_completion(found, timeout)
        except BatchFailedError as error:
            status = error.status
        except BatchTimeoutError as error:
            note(f"imagebatch: {error}")
            raise typer.Exit(exits.TIMED_OUT) from error
        except KeyboardInterrupt:
            note(resume_note(found))
            raise typer.Exit(exits.INTERRUPTED) from None
    if as_json:
        put(render.as_json(status))
    else:
        put(render.ending(status))
        tell_failures(status)
    raise typer.Exit(exits.of_batch(status.status))
