"""Writing one blob in chunks, to a file that is whole and durable at the end or is not there."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Self, TypeVar

from imagebatch_server.batches.model import HEAD_BYTES
from imagebatch_server.objects.durable import name_once, removed_on_error, store_errors, sync_folder

T = TypeVar("T")


class BlobWriter:
    """One blob that grows by chunks. Leaving the block commits it durably, leaving it by an exception removes it.

    Opening, `write` and leaving raise StoreUnavailable, leaving also ObjectExists.
    """

    def __init__(self, threads: ThreadPoolExecutor, part: Path, target: Path) -> None:
        self._threads = threads
        self._part = part
        self._target = target
        self._digest = hashlib.sha256()
        self.size_bytes = 0
        """Written so far."""
        self.head = b""
        """The first `HEAD_BYTES` bytes, enough to tell format and size."""

    @property
    def sha256(self) -> str:
        """Of what was written so far, 64 lower-case hex digits."""
        return self._digest.hexdigest()

    async def __aenter__(self) -> Self:
        opening = asyncio.ensure_future(in_thread(self._threads, self._open))
        try:
            self._file = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The block is never entered, so nothing leaves it: the file goes as soon as its thread has made it.
            opening.add_done_callback(self._close_unused)
            raise
        return self

    async def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        await in_thread(self._threads, self._write, chunk)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Shielded: a caller that is cancelled now must still leave a whole blob or none.
        await asyncio.shield(in_thread(self._threads, self._abandon if kind else self._commit))

    def _open(self) -> IO[bytes]:
        with store_errors():
            return self._part.open("xb")

    def _close_unused(self, opening: asyncio.Future[IO[bytes]]) -> None:
        if opening.exception() is None:
            self._file = opening.result()
            self._abandon()

    def _write(self, chunk: bytes) -> None:
        with store_errors():
            self._file.write(chunk)
        self._digest.update(chunk)
        self.size_bytes += len(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head = (self.head + chunk)[:HEAD_BYTES]

    def _commit(self) -> None:
        named: list[Path] = []
        with store_errors(), removed_on_error([self._part]), removed_on_error(named):
            with self._file as file:
                file.flush()
                os.fsync(file.fileno())
            name_once(self._part, self._target)
            named.append(self._target)
            sync_folder(self._target.parent)

    def _abandon(self) -> None:
        with suppress(OSError):  # closing writes what is buffered, which a full disk refuses once more
            self._file.close()
        self._part.unlink(missing_ok=True)


async def in_thread(threads: ThreadPoolExecutor, work: Callable[..., T], *arguments: object) -> T:
    """Call `work` in one of the threads."""
    return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)
