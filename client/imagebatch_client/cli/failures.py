"""`imagebatch failures`: what a batch's failed items have in common."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from imagebatch_client.cli import chosen, options, render
from imagebatch_client.cli.connection import connect
from imagebatch_client.cli.terminal import console, note, put
from imagebatch_client.texts import one_line
from imagebatch_client.types import FailureCluster

_SHOWN = 20
_SHOWN_ITEMS = 2
_PIPED_WIDTH = 120
_LEAST_TABLE_WIDTH = 64
"""A narrower table breaks every word."""


def failures(
    ctx: typer.Context,
    batch_id: options.BatchId,
    limit: Annotated[
        int | None,
        typer.Option(
            parser=options.whole(1), metavar="N", help="Most clusters to print. Default: 20, with --json all."
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Print what a batch's failed items have in common.

    Items with the same error code, host, format and message are one cluster; in messages, * stands for what changes
    from item to item. The largest clusters come first.

    \b
    Examples:
      imagebatch failures BATCH_ID
      imagebatch retry BATCH_ID --cluster CLUSTER
      imagebatch failures BATCH_ID --json | jq .item_ids
    """
    with connect(ctx) as client:
        full_id = chosen.batch_id(client, batch_id)
        found = client.list_failure_clusters(full_id, page_size=1000)
        most = limit if as_json else limit or _SHOWN
        if as_json:
            for cluster in islice(found, most):
                put(render.as_json(cluster))
            return
        clusters = list(found)
    if not clusters:
        note("No item has failed.")
        return
    _print(clusters[:most])
    failed = render.counted(sum(cluster.count for cluster in clusters), "failed item", "failed items")
    note(f"{failed} in {render.counted(len(clusters), 'cluster', 'clusters')}.")
    if most is not None and most < len(clusters):
        note(f"All with: imagebatch failures {full_id} --limit {len(clusters)}")
    note(f"Run those of one again with: imagebatch retry {full_id} --cluster {clusters[0].cluster_id}")


def _print(clusters: Sequence[FailureCluster]) -> None:
    out = console()
    if not out.is_terminal:
        out.width = _PIPED_WIDTH
    if out.width < _LEAST_TABLE_WIDTH:
        for cluster in clusters:
            put("  ".join([str(cluster.count), *filter(None, _words(cluster)), cluster.cluster_id]))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Items", justify="right", no_wrap=True)
    table.add_column("Code", no_wrap=True, style="red")
    table.add_column("Host", overflow="fold", max_width=28)
    table.add_column("Format", no_wrap=True)
    table.add_column("Message", overflow="fold", ratio=1)
    table.add_column("Such as", overflow="fold", max_width=24, style="dim")
    table.add_column("Cluster", no_wrap=True)
    for cluster in clusters:
        code, host, image_format, message = _words(cluster)
        samples = one_line(", ".join(cluster.item_ids[:_SHOWN_ITEMS]))
        cells = [Text(text) for text in (host, image_format, message, samples, cluster.cluster_id)]
        table.add_row(f"{cluster.count:,}", code, *cells)
    out.print(table)


def _words(cluster: FailureCluster) -> tuple[str, str, str, str]:
    return cluster.error_code.value, one_line(cluster.host), one_line(cluster.format), one_line(cluster.message)
