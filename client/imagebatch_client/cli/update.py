"""`imagebatch update`: the priority and the labels of a batch that runs."""

from __future__ import annotations

from typing import Annotated

import typer

from imagebatch_client.cli import chosen, options, render
from imagebatch_client.cli.connection import connect, usage_error
from imagebatch_client.cli.terminal import put


def update(
    ctx: typer.Context,
    batch_id: options.BatchId,
    priority: Annotated[
        int | None,
        typer.Option(parser=options.whole(1, 10), metavar="1-10", help="The new priority."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A label, in the place of all that the batch has. Repeatable."),
    ] = None,
    no_labels: Annotated[bool, typer.Option("--no-labels", help="Take all labels away.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Change the priority or the labels of a batch that has not ended.

    \b
    Examples:
      imagebatch update BATCH_ID --priority 10
      imagebatch update BATCH_ID --label run=nightly --label team=shop
    """
    if label and no_labels:
        raise usage_error("--no-labels", "can't be given with --label; give one of them")
    labels = options.labels(label or []) if label or no_labels else None
    if priority is None and labels is None:
        raise usage_error("--priority", "is missing; give it, --label or --no-labels")
    with connect(ctx) as client:
        answer = client.update(chosen.batch_id(client, batch_id), priority=priority, labels=labels)
    put(render.as_json(answer) if as_json else render.status_lines(answer))
