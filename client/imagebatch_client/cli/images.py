"""`imagebatch upload` and `download`: stored images by themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from imagebatch_client.cli import options, render
from imagebatch_client.cli.connection import connect, note, usage_error
from imagebatch_client.cli.sources import ImageFile, find_sources
from imagebatch_client.cli.uploading import upload_all


def upload(
    ctx: typer.Context,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Image files, folders, or - for a list on standard input.")
    ],
    as_json: options.AsJson = False,
) -> None:
    """Store images on the server and print their keys.

    The keys are for other clients of the server: submit takes files by itself.
    An image that no batch uses is removed after a day.

    \b
    Example:
      imagebatch upload cat.jpg dogs/
    """
    files = [source for source in find_sources(paths) if isinstance(source, ImageFile)]
    if not files:
        raise usage_error("PATH", "names URLs only; submit takes those, and the server fetches them")
    with connect(ctx) as client:
        for file, image in zip(files, upload_all(client, files), strict=True):
            line = render.as_json(image) if as_json else f"{image.object_key}  {render.one_line(file.name)}"
            sys.stdout.write(f"{line}\n")


def download(
    ctx: typer.Context,
    object_key: Annotated[str, typer.Argument(metavar="OBJECT_KEY", help="The key, as upload or results print it.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to write it, - for standard output. Default: its name."
        ),
    ] = None,
) -> None:
    """Read a stored image.

    One that was uploaded, or one that an operation made.

    \b
    Example:
      imagebatch download OBJECT_KEY --output thumbnail.jpg
    """
    with connect(ctx) as client:
        image = client.download_image(object_key)
    if output == "-":
        sys.stdout.buffer.write(image.content)
        return
    # The stored name is another caller's text: only its last part, and never over a file that is there.
    path = Path(output) if output else Path(Path(image.file_name).name or "image")
    try:
        with path.open("wb" if output else "xb") as file:
            file.write(image.content)
    except OSError as error:
        raise usage_error("--output", f"{path} can't be written: {error.strerror}; give another name") from error
    note(f"Wrote {image.size_bytes:,} bytes to {path}.")
