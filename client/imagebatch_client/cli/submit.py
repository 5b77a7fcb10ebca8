"""`imagebatch submit`: files, folders, URLs and manifests become a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import uuid4

import typer

from imagebatch_client.cli import completion, options, render
from imagebatch_client.cli.checking import check
from imagebatch_client.cli.connection import Stopped, connect, usage_error
from imagebatch_client.cli.entries import Entry, ImageUrl, Source, StoredImage, files_of, items_of
from imagebatch_client.cli.follow import follow
from imagebatch_client.cli.manifest import read_manifest
from imagebatch_client.cli.sources import Choice, find_sources
from imagebatch_client.cli.terminal import note, put
from imagebatch_client.cli.units import seconds
from imagebatch_client.cli.uploading import upload_all
from imagebatch_client.files import ImageFile
from imagebatch_client.texts import one_line

_NOT_SUBMITTED = (
    "Stopped; nothing was submitted. What was uploaded is kept for a day: repeat the command, and it goes on."
)

_UNCHECKED = "what only the server knows of parameters, whether object keys exist, and what is behind URLs"
"""What a dry run leaves to the submit."""


def submit(
    ctx: typer.Context,
    operation: Annotated[
        str,
        typer.Option(
            "--operation",
            "-o",
            metavar="NAME",
            help="What to run on each image; `imagebatch operations` lists what there is.",
            autocompletion=completion.operations,
        ),
    ],
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Image files, folders, http(s) URLs, or - for a list on standard input."),
    ] = None,
    object_key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="An image that the server has, by the key that upload printed. Repeatable."),
    ] = None,
    manifest: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="JSON Lines, or CSV by its ending: one image a line, with path, url or object_key, and item_id and "
            "metadata. - for standard input. Repeatable.",
        ),
    ] = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    is_nul_separated: options.NulSeparated = False,
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="A parameter of the operation; VALUE may be JSON. Repeatable.",
            autocompletion=completion.parameters,
        ),
    ] = None,
    parameters: Annotated[
        str | None, typer.Option(metavar="JSON", help="All parameters as a JSON object, or @FILE that holds one.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A label of your own, to list batches by. Repeatable.")
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(
            parser=options.whole(1, 10), metavar="1-10", help="Share of the workers' time, 10 the largest. Default: 5."
        ),
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Your own key for this submit: a repeat of it answers the batch that it made."),
    ] = None,
    skip_duplicates: Annotated[
        bool, typer.Option("--skip-duplicates", help="Run equal images with equal metadata once.")
    ] = False,
    item_timeout: Annotated[
        float | None,
        typer.Option(parser=seconds, metavar="TIME", help="Most time for one attempt at one item. Default: 60s."),
    ] = None,
    max_attempts: Annotated[
        int | None,
        typer.Option(
            parser=options.whole(1, 10), metavar="1-10", help="Attempts at an item whose error may pass. Default: 3."
        ),
    ] = None,
    canary: Annotated[
        int | None,
        typer.Option(
            parser=options.whole(1, 1000), metavar="1-1000", help="Run so many items, picked at random, first."
        ),
    ] = None,
    failure_limit: Annotated[
        float | None,
        typer.Option(
            parser=options.share, metavar="SHARE", help="Skip the rest once this share (above 0, to 1) of items failed."
        ),
    ] = None,
    output_prefix: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The bucket and prefix that images go to which the operation makes."),
    ] = None,
    notify_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where to post, signed, that the batch has ended.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help=f"Check, print the images, and send none. Not checked: {_UNCHECKED}.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show each item as it finishes, until the end.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Upload images and run an operation on them.

    Folders are searched for images, also below; hidden files are left out. Everything is checked before the first file
    is uploaded; URLs are fetched by the server. Prints the batch's id, or, with --watch, each item as it finishes.
    A submit that was interrupted is repeated: what the server has of it is not uploaded again.

    \b
    Examples:
      imagebatch submit photos/ --operation describe --watch
      imagebatch submit a.jpg https://example.com/b.png -o thumbnail --param width=256
      imagebatch submit photos/ -o describe --include '*.png' --exclude 'raw/*' --dry-run
      imagebatch submit --manifest wanted.jsonl -o verify
      find . -name '*.webp' -print0 | imagebatch submit - --null -o describe --label run=nightly
      id=$(imagebatch submit photos/ -o describe) && imagebatch results $id

    \b
    A line of a manifest, here for verify (in CSV, a column metadata.expect.text):
      {"path": "sign.jpg", "item_id": "sign-7", "metadata": {"expect": {"text": "Exit"}}}
    """
    entries = [Entry(source) for source in find_sources(paths or [], _choice(include, exclude, is_nul_separated))]
    entries += [Entry(StoredImage(key), where="--object-key") for key in object_key or []]
    entries += [entry for each in manifest or [] for entry in read_manifest(each)]
    if not entries:
        raise usage_error("PATH", "is missing; give image files, folders or URLs, --object-key or --manifest")
    chosen: dict[str, Any] = {
        "parameters": options.parameters(parameters, param or []),
        "labels": options.labels(label or []),
        "request_id": options.request_id(request_id) or str(uuid4()),
        "priority": priority,
        "skip_duplicates": skip_duplicates,
        "item_timeout": options.item_timeout(item_timeout),
        "max_attempts": max_attempts,
        "canary": canary,
        "failure_limit": failure_limit,
        "output_prefix": output_prefix,
        "notify_url": notify_url,
    }
    with connect(ctx) as client:
        try:
            check(client, operation, chosen["parameters"] or {}, entries)
            if dry_run:
                _print_plan(entries, as_json)
                return
            uploaded = upload_all(client, files_of(entries))
        except KeyboardInterrupt:
            raise Stopped(_NOT_SUBMITTED) from None
        try:
            batch = client.submit(operation, items_of(entries, [image.object_key for image in uploaded]), **chosen)
        except KeyboardInterrupt:
            raise Stopped(
                "Stopped; the batch may have been made. "
                f"Repeat with --request-id {chosen['request_id']}, and at most one is."
            ) from None
        if watch:
            note(f"Batch {batch.batch_id}: {render.counted(batch.total_items, 'item', 'items')}.")
            raise typer.Exit(follow(client, batch.batch_id, as_json=as_json))
    items = render.counted(batch.total_items, "item", "items")
    # Said first: the batch is there even where standard output can't be written.
    note(f"Submitted {items}. Watch with: imagebatch watch {batch.batch_id}")
    put(render.as_json(batch) if as_json else batch.batch_id)


def _choice(include: list[str] | None, exclude: list[str] | None, is_nul_separated: bool) -> Choice:
    return Choice(include or (), exclude or (), is_nul_separated)


def _print_plan(entries: Sequence[Entry], as_json: bool) -> None:
    for entry in entries:
        kind, name = _described(entry.source)
        line = {kind: name, "item_id": entry.item_id, "metadata": entry.metadata}
        put(render.as_json(line) if as_json else one_line(name))
    images = render.counted(len(entries), "image", "images")
    note(f"{images}, of which {len(files_of(entries))} would be uploaded; nothing was sent.")
    note(f"Not checked: {_UNCHECKED}.")


def _described(source: Source) -> tuple[str, str]:
    match source:
        case ImageUrl(url):
            return "url", url
        case StoredImage(key):
            return "object_key", key
        case ImageFile(path=path):
            return "path", str(path)
