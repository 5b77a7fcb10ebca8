"""Images' bytes in files of this machine; a blob is durable, power loss included, when a write returns."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Self, TypeVar

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError, ObjectNotFound
from imagebatch_server.images.durable import in_parallel, removed_on_error, store_errors, sync_folder, write_durably
from imagebatch_server.images.header import PROBE_BYTES

_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\.(?P<random>[0-9a-f]{32})")
_THREADS = 8
T = TypeVar("T")


class LocalBlobStore:
    """Blobs under `root`, one file each, spread over 256 folders by two digits of their key.

    Only one process may use a root at a time (the server holds a lock on its data folder). Close it when done.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._temporary = root / "tmp"
        self._make_folders()
        self._calls = ThreadPoolExecutor(_THREADS, "blobs")
        self._writes = ThreadPoolExecutor(_THREADS, "blob-writes")  # of its own, as calls wait for it

    def close(self) -> None:
        """Wait for what is being written and end the threads."""
        self._calls.shutdown()
        self._writes.shutdown()

    def new_key(self, tenant: str) -> str:
        """Make an object key: opaque, unique, and random, because one made of the content would tell who has it."""
        key = f"{tenant}.{secrets.token_hex(16)}"
        if not _KEY.fullmatch(key):
            raise ValueError(f"tenant {tenant!r} can't stand in an object key; use 1 to 63 of a-z, 0-9, _ and -")
        return key

    async def put(self, key: str, data: bytes) -> None:
        """Write one blob durably. Raises StoreUnavailable, with nothing left behind."""
        await self.put_many([(key, data)])

    async def put_many(self, blobs: Sequence[tuple[str, bytes]]) -> None:
        """Write several blobs durably, files in parallel. Raises StoreUnavailable, with none of them left behind."""
        await self._call(self._put_many, blobs)

    def writer(self, key: str) -> BlobWriter:
        """Write one blob in chunks: `async with store.writer(key) as blob: await blob.write(chunk)`."""
        return BlobWriter(self._calls, self._part(), self._path(key))

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        """Read a blob whole. Raises ItemError with OBJECT_NOT_FOUND or TOO_LARGE, and StoreUnavailable."""
        return await self._call(self._get, key, max_bytes)

    async def get_many(
        self, keys: Sequence[str], *, max_bytes: int, max_total_bytes: int
    ) -> Sequence[bytes | ItemError]:
        """Read blobs whole, in order, in one call; an ItemError stands for one that can't be read.

        Answers fewer, but at least one, once they hold `max_total_bytes`. Raises StoreUnavailable.
        """
        return await self._call(self._get_many, keys, max_bytes, max_total_bytes)

    async def read(self, key: str, chunk_bytes: int = 256 * 1024) -> AsyncGenerator[bytes, None]:
        """Read a blob in chunks. Raises ObjectNotFound, also when it is deleted meanwhile, and StoreUnavailable."""
        file = await self._call(self._open, key)
        try:
            while chunk := await self._call(self._next_chunk, file, key, chunk_bytes):
                yield chunk
        finally:
            file.close()

    async def delete(self, key: str) -> None:
        """Remove a blob; none is no error. Raises StoreUnavailable."""
        await self._call(self._delete, key)

    async def written_before(self, at: datetime) -> AsyncGenerator[str, None]:
        """The keys of blobs that were written before a time, folder by folder. Raises StoreUnavailable."""
        for folder in sorted(self._root.glob("[0-9a-f]/[0-9a-f]")):
            for key in await self._call(_written_before, folder, at.timestamp()):
                yield key

    def url(self, key: str) -> str | None:
        """A `file://` URL of the blob, which need not exist; None for what is no key."""
        return self._path(key).absolute().as_uri() if _KEY.fullmatch(key) else None

    def sweep_temporary(self) -> int:
        """Remove what writers left that were killed; only before any writer starts. Returns how many files."""
        leftovers = list(self._temporary.iterdir())
        for leftover in leftovers:
            leftover.unlink()
        return len(leftovers)

    async def _call(self, work: Callable[..., T], *arguments: object) -> T:
        return await _run(self._calls, work, *arguments)

    def _make_folders(self) -> None:
        # All of them now, so that no write has to make one and to sync its parents.
        with store_errors():
            self._temporary.mkdir(parents=True, exist_ok=True)
            for first in "0123456789abcdef":
                for second in "0123456789abcdef":
                    (self._root / first / second).mkdir(parents=True, exist_ok=True)
                sync_folder(self._root / first)
            sync_folder(self._root)
            sync_folder(self._root.parent)

    def _path(self, key: str) -> Path:
        match = _KEY.fullmatch(key)
        if match is None:
            raise ObjectNotFound(key)
        return self._root / match["random"][0] / match["random"][1] / key

    def _put_many(self, blobs: Sequence[tuple[str, bytes]]) -> None:
        targets = [self._path(key) for key, _ in blobs]
        parts = [self._part() for _ in blobs]
        with store_errors(), removed_on_error([*parts, *targets]):
            in_parallel(self._writes, write_durably, parts, [data for _, data in blobs])
            for part, target in zip(parts, targets, strict=True):
                part.rename(target)
            in_parallel(self._writes, sync_folder, {target.parent for target in targets})

    def _part(self) -> Path:
        return self._temporary / secrets.token_hex(16)

    def _get_many(self, keys: Sequence[str], max_bytes: int, max_total_bytes: int) -> Sequence[bytes | ItemError]:
        found: list[bytes | ItemError] = []
        known: dict[str, bytes | ItemError] = {}  # items of a batch may ask different things of one image
        held_bytes = 0
        for key in keys:
            if found and held_bytes >= max_total_bytes:
                break
            if key not in known:
                try:
                    known[key] = data = self._get(key, max_bytes)
                    held_bytes += len(data)
                except ItemError as error:
                    known[key] = error
            found.append(known[key])
        return found

    def _get(self, key: str, max_bytes: int) -> bytes:
        try:
            file = self._open(key)
        except ObjectNotFound as error:
            raise ItemError(ItemErrorCode.OBJECT_NOT_FOUND, str(error)) from error
        with file, store_errors():
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > max_bytes:
                raise ItemError(
                    ItemErrorCode.TOO_LARGE,
                    f"object {key} has {size_bytes:,} bytes, the limit is {max_bytes:,}; send the image smaller",
                )
            return file.read()

    def _open(self, key: str) -> IO[bytes]:
        path = self._path(key)
        with store_errors():
            try:
                return path.open("rb")
            except FileNotFoundError as error:
                raise ObjectNotFound(key) from error

    def _next_chunk(self, file: IO[bytes], key: str, chunk_bytes: int) -> bytes:
        if not self._path(key).exists():  # an open file can be read on after its deletion, but nobody vouches for it
            raise ObjectNotFound(key)
        with store_errors():
            return file.read(chunk_bytes)

    def _delete(self, key: str) -> None:
        if _KEY.fullmatch(key):
            with store_errors():
                self._path(key).unlink(missing_ok=True)


class BlobWriter:
    """One blob that grows by chunks. Leaving the block commits it durably, leaving it by an exception removes it.

    Opening, `write` and leaving raise StoreUnavailable.
    """

    def __init__(self, threads: ThreadPoolExecutor, part: Path, target: Path) -> None:
        self._threads = threads
        self._part = part
        self._target = target
        self._digest = hashlib.sha256()
        self.size_bytes = 0
        """Written so far."""
        self.head = b""
        """The first `header.PROBE_BYTES` bytes, enough to tell format and size."""

    @property
    def sha256(self) -> str:
        """Of what was written so far, 64 lower-case hex digits."""
        return self._digest.hexdigest()

    async def __aenter__(self) -> Self:
        opening = asyncio.ensure_future(_run(self._threads, self._open))
        try:
            self._file = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The block is never entered, so nothing leaves it: the file goes as soon as its thread has made it.
            opening.add_done_callback(self._close_unused)
            raise
        return self

    async def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        await _run(self._threads, self._write, chunk)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Shielded: a caller that is cancelled now must still leave a whole blob or none.
        await asyncio.shield(_run(self._threads, self._abandon if kind else self._commit))

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
        if len(self.head) < PROBE_BYTES:
            self.head = (self.head + chunk)[:PROBE_BYTES]

    def _commit(self) -> None:
        with store_errors(), removed_on_error([self._part, self._target]):
            with self._file as file:
                file.flush()
                os.fsync(file.fileno())
            self._part.rename(self._target)
            sync_folder(self._target.parent)

    def _abandon(self) -> None:
        with suppress(OSError):  # closing writes what is buffered, which a full disk refuses once more
            self._file.close()
        self._part.unlink(missing_ok=True)


async def _run(threads: ThreadPoolExecutor, work: Callable[..., T], *arguments: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)


def _written_before(folder: Path, timestamp: float) -> list[str]:
    found = []
    with store_errors():
        for path in folder.iterdir():
            with suppress(FileNotFoundError):  # deleted meanwhile
                if _KEY.fullmatch(path.name) and path.stat().st_mtime < timestamp:
                    found.append(path.name)
    return found
