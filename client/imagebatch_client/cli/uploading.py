"""Uploads of many files, with a bar if standard error is a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from imagebatch_client.cli.terminal import console
from imagebatch_client.files import ImageFile
from imagebatch_client.sync import BatchClient
from imagebatch_client.types import UploadedImage, UploadProgress


def upload_all(client: BatchClient, files: Sequence[ImageFile]) -> list[UploadedImage]:
    """Upload all files and answer in their order. Raises what `BatchClient.upload_files` does."""
    if not files:
        return []
    shown_on = console(stderr=True)
    bar = Progress(
        TextColumn("Uploading"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=shown_on,
        transient=True,
    )
    task = bar.add_task("", total=len(files))

    def show(progress: UploadProgress) -> None:
        bar.update(task, completed=progress.files, total=progress.total_files)

    shown: AbstractContextManager[object] = bar if shown_on.is_terminal else nullcontext()
    with shown:
        return client.upload_files(files, on_upload=show)
