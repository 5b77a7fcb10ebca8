"""Many files to the server, some at a time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from imagebatch_client.cli.connection import usage_error
from imagebatch_client.cli.sources import ImageFile
from imagebatch_client.errors import ImagebatchError
from imagebatch_client.sync import BatchClient
from imagebatch_client.types import UploadedImage

_AT_A_TIME = 8


def upload_all(client: BatchClient, files: Sequence[ImageFile]) -> list[UploadedImage]:
    """Uploads all files and answers in their order. Shows a bar if standard error is a terminal.

    Raises InvalidRequestError, before anything is sent, for files that can't be read or are larger than the server
    takes, and the first error of an upload otherwise.
    """
    if not files:
        return []
    _check(files, client.server_info().limits.max_image_bytes)
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("Uploading"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    shown: AbstractContextManager[object] = bar if console.is_terminal else nullcontext()
    with shown, ThreadPoolExecutor(_AT_A_TIME) as threads:
        task = bar.add_task("", total=len(files))
        futures = [threads.submit(_upload, client, file, bar, task) for file in files]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            return [future.result() for future in _failed_first(futures)]
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _upload(client: BatchClient, file: ImageFile, bar: Progress, task: TaskID) -> UploadedImage:
    try:
        uploaded = client.upload_image(file.path, file_name=file.name)
    except OSError as error:
        raise usage_error("PATH", f"{file.path} can't be read: {error.strerror}") from error
    except ImagebatchError as error:
        error.message = f"{file.path}: {error.message}"
        raise
    bar.advance(task)
    return uploaded


def _failed_first(futures: Sequence[Future[UploadedImage]]) -> Sequence[Future[UploadedImage]]:
    failed = [future for future in futures if future.done() and future.exception() is not None]
    return failed or futures


def _check(files: Sequence[ImageFile], max_bytes: int) -> None:
    problems = []
    for file in files:
        try:
            size_bytes = file.path.stat().st_size
        except OSError as error:
            problems.append(f"{file.path} can't be read: {error.strerror}")
            continue
        if size_bytes > max_bytes:
            problems.append(f"{file.path} has {size_bytes:,} bytes; the server takes {max_bytes:,}: make it smaller")
    if problems:
        raise usage_error("PATH", *problems)
