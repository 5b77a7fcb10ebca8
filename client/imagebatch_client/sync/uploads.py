"""Many files to the server, some at a time, each content once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from imagebatch_client import files as image_files
from imagebatch_client import images
from imagebatch_client.errors import ImagebatchError
from imagebatch_client.files import FILES_AT_A_TIME, ImageFile, Progress
from imagebatch_client.threads import Ending, apart
from imagebatch_client.types import UploadedImage

UploadKnown = Callable[[images.Upload, str, int, Ending], UploadedImage]


def upload_all(
    files: Sequence[ImageFile], sizes: Sequence[int], upload_known: UploadKnown, progress: Progress
) -> list[UploadedImage]:
    """Upload all files and answer in their order; raises the first error.

    Whatever ends it early, a KeyboardInterrupt too, ends the uploads under way, so that nothing of it is left waiting.
    """
    sending = _Sending(upload_known, progress)
    return apart(lambda: sending.all(files, sizes), sending.ending.close)


class _Sending:
    def __init__(self, upload_known: UploadKnown, progress: Progress) -> None:
        self.ending = Ending()
        self._upload_known = upload_known
        self._progress = progress
        self._lock = threading.Lock()
        self._begun: dict[tuple[str, str], Future[UploadedImage]] = {}

    def all(self, files: Sequence[ImageFile], sizes: Sequence[int]) -> list[UploadedImage]:
        with ThreadPoolExecutor(FILES_AT_A_TIME, thread_name_prefix="imagebatch-upload") as threads:
            futures = [threads.submit(self.one, file, size) for file, size in zip(files, sizes, strict=True)]
            wait(futures, return_when=FIRST_EXCEPTION)
            try:
                return [future.result() for future in _failed_first(futures)]
            except BaseException:
                self.ending.close()
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def one(self, file: ImageFile, size_bytes: int) -> UploadedImage:
        try:
            uploaded = self._of_content(file, size_bytes)
        except ImagebatchError as error:
            error.message = f"{file.path}: {error.message}"
            raise
        except OSError as error:
            raise image_files.unreadable(file, error) from error
        with self._lock:
            self._progress.done(size_bytes)
        return uploaded

    def _of_content(self, file: ImageFile, size_bytes: int) -> UploadedImage:
        """Upload a file, or wait for the thread that uploads the same content: two keys would make two batches."""
        upload = images.Upload(file.path, file.name, None)
        sha256 = image_files.sha256_of(file.path)
        content = (sha256, upload.header.header.content_type)
        mine = Future[UploadedImage]()
        with self._lock:
            begun = self._begun.setdefault(content, mine)
        if begun is not mine:
            return begun.result()
        try:
            mine.set_result(self._upload_known(upload, sha256, size_bytes, self.ending))
        except BaseException as error:
            mine.set_exception(error)
            raise
        return mine.result()


def _failed_first(futures: Sequence[Future[UploadedImage]]) -> Sequence[Future[UploadedImage]]:
    failed = [future for future in futures if future.done() and future.exception() is not None]
    return failed or futures
