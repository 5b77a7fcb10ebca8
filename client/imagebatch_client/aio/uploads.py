"""Many files to the server, some at a time, each content once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from imagebatch_client import files as image_files
from imagebatch_client import images
from imagebatch_client.errors import ImagebatchError
from imagebatch_client.files import FILES_AT_A_TIME, ImageFile, Progress
from imagebatch_client.types import UploadedImage

UploadKnown = Callable[[images.Upload, str, int], Coroutine[Any, Any, UploadedImage]]


async def upload_all(
    files: Sequence[ImageFile], sizes: Sequence[int], upload_known: UploadKnown, progress: Progress
) -> list[UploadedImage]:
    """Upload all files and answer in their order; raises the first error, after it has ended the other uploads."""
    some = asyncio.Semaphore(FILES_AT_A_TIME)
    begun: dict[tuple[str, str], asyncio.Task[UploadedImage]] = {}

    async def one(file: ImageFile, size_bytes: int) -> UploadedImage:
        try:
            async with some:
                upload = images.Upload(file.path, file.name, None)
                sha256 = await asyncio.to_thread(image_files.sha256_of, file.path)
                content = (sha256, upload.header.header.content_type)
                if content not in begun:  # two keys of one content would make two batches
                    begun[content] = asyncio.ensure_future(upload_known(upload, sha256, size_bytes))
                uploaded = await begun[content]
        except ImagebatchError as error:
            error.message = f"{file.path}: {error.message}"
            raise
        except OSError as error:
            raise image_files.unreadable(file, error) from error
        progress.done(size_bytes)
        return uploaded

    sending = [asyncio.ensure_future(one(file, size)) for file, size in zip(files, sizes, strict=True)]
    try:
        return list(await asyncio.gather(*sending))
    finally:
        for task in (*sending, *begun.values()):
            task.cancel()
