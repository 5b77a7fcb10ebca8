"""`imagebatch submit`: files, folders and URLs become a batch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from imagebatch_client.cli import options
from imagebatch_client.cli.connection import connect, note, usage_error
from imagebatch_client.cli.follow import follow
from imagebatch_client.cli.render import as_json as json_line
from imagebatch_client.cli.sources import ImageFile, ImageUrl, Source, find_sources, item_ids
from imagebatch_client.cli.uploading import upload_all
from imagebatch_client.sync import BatchClient
from imagebatch_client.types import BatchImageInput


def submit(
    ctx: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Image files, folders, http(s) URLs, or - for a list on standard input."),
    ],
    operation: Annotated[str, typer.Option("--operation", "-o", metavar="NAME", help="What to run on each image.")],
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A parameter of the operation; VALUE may be JSON. Repeatable."),
    ] = None,
    parameters: Annotated[
        str | None, typer.Option(metavar="JSON", help="All parameters as a JSON object, or @FILE that holds one.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A label of your own, to list batches by. Repeatable.")
    ] = None,
    priority: Annotated[
        int | None, typer.Option(metavar="1-10", help="Share of the workers' time, 10 the largest. Default: 5.")
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Your own key for this submit: a repeat makes no second batch. With files it is refused, naming the "
            "batch, because they are uploaded anew.",
        ),
    ] = None,
    skip_duplicates: Annotated[
        bool, typer.Option("--skip-duplicates", help="Run equal images with equal metadata once.")
    ] = False,
    item_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Most time for one attempt at one item. Default: 60.")
    ] = None,
    max_attempts: Annotated[
        int | None, typer.Option(metavar="1-10", help="Attempts at an item whose error may pass. Default: 3.")
    ] = None,
    canary: Annotated[int | None, typer.Option(metavar="N", help="Run N items picked at random first.")] = None,
    failure_limit: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Skip the rest once this share (0-1) of items failed.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show each item as it finishes, until the end.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Upload images and run an operation on them.

    Folders are searched for images, also below; hidden files are left out. Files are uploaded, several at a time; URLs
    are fetched by the server. Prints the batch's id, or, with --watch, each item as it finishes.

    \b
    Examples:
      imagebatch submit photos/ --operation describe --watch
      imagebatch submit a.jpg https://example.com/b.png -o thumbnail --param width=256
      find . -name '*.webp' | imagebatch submit - -o describe --label run=nightly
      id=$(imagebatch submit photos/ -o describe) && imagebatch results $id
    """
    labels = options.pairs("--label", label or [])
    chosen = options.parameters(parameters, param or [])
    sources = find_sources(paths)
    with connect(ctx) as client:
        _check_operation(client, operation)
        batch = client.submit(
            operation,
            _items(client, sources),
            parameters=chosen,
            request_id=request_id,
            labels=labels,
            priority=priority,
            skip_duplicates=skip_duplicates,
            item_timeout=item_timeout,
            max_attempts=max_attempts,
            canary=canary,
            failure_limit=failure_limit,
        )
        if watch:
            note(f"Batch {batch.batch_id}: {batch.total_items} items.")
            raise typer.Exit(follow(client, batch.batch_id, as_json=as_json))
    sys.stdout.write(f"{json_line(batch) if as_json else batch.batch_id}\n")
    note(f"Submitted {batch.total_items} items. Watch them with: imagebatch watch {batch.batch_id}")


def _check_operation(client: BatchClient, name: str) -> None:
    """Refuses an unknown operation before files are uploaded for it."""
    offered = [operation.name for operation in client.list_operations()]
    if name not in offered:
        raise usage_error("--operation", f"{name!r} is unknown to the server; it offers {', '.join(offered)}")


def _items(client: BatchClient, sources: Sequence[Source]) -> list[BatchImageInput]:
    files = [source for source in sources if isinstance(source, ImageFile)]
    uploaded = zip(files, item_ids(file.name for file in files), upload_all(client, files), strict=True)
    of_file = {
        id(file): BatchImageInput(object_key=image.object_key, item_id=item_id, metadata={"file_name": file.name})
        for file, item_id, image in uploaded
    }
    return [
        BatchImageInput(image_url=source.url) if isinstance(source, ImageUrl) else of_file[id(source)]
        for source in sources
    ]
