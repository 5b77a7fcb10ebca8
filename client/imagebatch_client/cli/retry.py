"""`imagebatch retry`: the failed items of a batch once more."""

from __future__ import annotations

from typing import Annotated

import typer

from imagebatch_client.cli import chosen, completion, options, render
from imagebatch_client.cli.connection import connect
from imagebatch_client.cli.terminal import note, put
from imagebatch_client.types import ItemErrorCode


def retry(
    ctx: typer.Context,
    batch_id: options.BatchId,
    error_code: Annotated[
        list[ItemErrorCode] | None,
        typer.Option(
            parser=options.one_of(ItemErrorCode),
            autocompletion=completion.values(ItemErrorCode),
            metavar="CODE",
            help="Only items that failed with this code, such as timeout. Repeatable. Default: all.",
        ),
    ] = None,
    item_id: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only the failed item of this id, at most 1000. Repeatable. Default: all."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="CLUSTER", help="Only items of this cluster, which `imagebatch failures` tells. Default: all."
        ),
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Your own key of this retry: given again within a day, it does nothing."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Run the failed items of an ended batch again.

    They keep their ids; watch the batch again to see them finish.

    \b
    Examples:
      imagebatch retry BATCH_ID
      imagebatch retry BATCH_ID --error-code fetch_failed --error-code timeout
      imagebatch retry BATCH_ID --item-id cat-17
      imagebatch retry BATCH_ID --cluster 2d7b0c4f6a1e9833
    """
    with connect(ctx) as client:
        full_id = chosen.batch_id(client, batch_id)
        answer = client.retry(
            full_id, error_code or [], item_ids=item_id or [], cluster_id=cluster, request_id=request_id
        )
    again = answer.total_items - answer.processed_items
    note(f"Retrying {render.counted(again, 'item', 'items')}." if again else "There is nothing to retry.")
    put(render.as_json(answer) if as_json else render.status_lines(answer))
