"""`imagebatch upload`: images stored for later batches."""

from __future__ import annotations

from typing import Annotated

import typer

from imagebatch_client.cli import options, render
from imagebatch_client.cli.connection import Stopped, connect, usage_error
from imagebatch_client.cli.entries import ImageUrl
from imagebatch_client.cli.sources import Choice, find_sources
from imagebatch_client.cli.terminal import put
from imagebatch_client.cli.uploading import upload_all
from imagebatch_client.files import ImageFile
from imagebatch_client.texts import one_line


def upload(
    ctx: typer.Context,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Image files, folders, or - for a list on standard input.")
    ],
    include: options.Include = None,
    exclude: options.Exclude = None,
    is_nul_separated: options.NulSeparated = False,
    as_json: options.AsJson = False,
) -> None:
    """Store images on the server and print their keys.

    The keys are for `submit --object-key`, for manifests, and for other clients of the server. An image that no batch
    uses is removed after a day.

    \b
    Example:
      imagebatch upload cat.jpg dogs/
    """
    choice = Choice(include or (), exclude or (), is_nul_separated)
    found = find_sources(paths, choice)
    if urls := [source.url for source in found if isinstance(source, ImageUrl)]:
        problems = [f"{url} is a URL, which the server fetches by itself; give it to submit" for url in urls]
        raise usage_error("PATH", *problems)
    files = [source for source in found if isinstance(source, ImageFile)]
    with connect(ctx) as client:
        try:
            uploaded = upload_all(client, files)
        except KeyboardInterrupt:
            raise Stopped("Stopped. What was uploaded is kept for a day: repeat the command, and it goes on.") from None
    for file, image in zip(files, uploaded, strict=True):
        put(render.as_json(image) if as_json else f"{image.object_key}  {one_line(file.name)}")
