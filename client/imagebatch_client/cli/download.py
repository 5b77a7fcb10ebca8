"""`imagebatch download`: stored images into files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from imagebatch_client.cli import chosen, completion
from imagebatch_client.cli.connection import connect, usage_error
from imagebatch_client.cli.download_batch import download_batch
from imagebatch_client.cli.saving import check_free, safe_name, write_file
from imagebatch_client.cli.terminal import note
from imagebatch_client.sync import BatchClient


def download(
    ctx: typer.Context,
    object_key: Annotated[
        str | None, typer.Argument(metavar="OBJECT_KEY", help="The key, as upload or results print it.")
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch",
            metavar="BATCH_ID",
            help="All images that this batch's operation stored.",
            autocompletion=completion.batch_ids,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write it: a file, a folder, - for standard output; with --batch, a folder. Default: here.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Write over files that are there.")] = False,
) -> None:
    """Read a stored image, or all that a batch has stored.

    One that was uploaded, or one that an operation made. Names that others gave are never used as they are: what is
    not a letter, a digit, a dot or a dash is left out, and an ending that is no image's is replaced. Files that are
    there already are not written over.

    With --batch, it is the images that the operation made: items without one, failed ones too, are passed over. An
    interrupted download is repeated to go on; of a batch that has not ended, it is repeated for the rest.

    \b
    Examples:
      imagebatch download OBJECT_KEY --output thumbnail.jpg
      imagebatch download --batch BATCH_ID -o thumbnails/
    """
    if (object_key is None) == (batch is None):
        raise usage_error("OBJECT_KEY", "give one, or --batch")
    if batch is not None and output == "-":
        raise usage_error("--output", "standard output takes one image; give a folder with --batch")
    with connect(ctx) as client:
        if batch is not None:
            download_batch(client, chosen.batch_id(client, batch), Path(output or "."), replaces=force)
        else:
            _download_one(client, str(object_key), output, replaces=force)


def _download_one(client: BatchClient, object_key: str, output: str | None, *, replaces: bool) -> None:
    target = Path(output or ".")
    named = None if output == "-" or target.is_dir() else target
    if named is not None:
        check_free(named, replaces=replaces)
    image = client.download_image(object_key)
    if output == "-":
        sys.stdout.buffer.write(image.content)
        return
    path = named or target / safe_name(image.file_name, image.content_type)
    write_file(path, image.content, replaces=replaces)
    note(f"Wrote {image.size_bytes:,} bytes to {path}.")
