"""Images' bytes in files of this machine; a blob is durable, power loss included, when a write returns."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TypeVar

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError, ObjectNotFound, StoreUnavailable
from imagebatch_server.batches.model import BlobName
from imagebatch_server.batches.ports.objects import NewBlob, StoredBlob
from imagebatch_server.objects.blob_writer import BlobWriter, in_thread
from imagebatch_server.objects.durable import (
    in_parallel,
    name_once,
    removed_on_error,
    store_errors,
    sync_folder,
    write_durably,
)
from imagebatch_server.objects.layout import DIGITS, FOLDERS, QUARANTINE, blob_path, is_key, new_key, path_to_read
from imagebatch_server.objects.store_id import StoreFolder
from imagebatch_server.threads import started

_THREADS = 8

BLOBS_A_PART = 1_000
"""Blobs that are listed at one time."""

T = TypeVar("T")


class LocalBlobStore:
    """Blobs under `root`, which is told from other folders by its id. Close it when done.

    Only one process may use a root at a time (the server holds a lock on its data folder).
    """

    most_looked_for = 10_000

    def __init__(self, root: Path) -> None:
        self._root = root
        self._root_url = root.absolute().as_uri()
        self._temporary = root / "tmp"
        self._quarantine = root / QUARANTINE
        self._make_folders()
        self._place = StoreFolder(root)
        self._id = self._place.make_id()
        self._calls = started(_THREADS, "blobs")
        self._writes = started(_THREADS, "blob-writes")  # of its own, as calls wait for it

    async def close(self) -> None:
        """Wait for what is being written and end the threads."""
        for threads in (self._calls, self._writes):
            await asyncio.to_thread(threads.shutdown)

    def new_key(self, tenant: str) -> str:
        """Make an object key: opaque, unique and random."""
        return new_key(tenant)

    async def put_many(self, blobs: Sequence[NewBlob]) -> None:
        """Write several blobs durably, files in parallel.

        Raises ObjectExists, and StoreUnavailable, with none of them left behind.
        """
        await self._call(self._put_many, blobs)

    def writer(self, key: str, content_type: str) -> BlobWriter:
        """Write one blob in chunks: `async with store.writer(key, "") as blob: await blob.write(chunk)`."""
        return BlobWriter(self._calls, self._part(), self._path(key))

    async def get_many(
        self, names: Sequence[BlobName], *, max_bytes: int, max_total_bytes: int
    ) -> Sequence[bytes | ItemError]:
        """Read blobs whole, in order, in one call; an ItemError stands for one that can't be read.

        Answers fewer, but at least one, once they hold `max_total_bytes`. Raises StoreUnavailable.
        """
        return await self._call(self._get_many, names, max_bytes, max_total_bytes)

    async def read(
        self, name: BlobName, start_bytes: int = 0, chunk_bytes: int = 256 * 1024
    ) -> AsyncGenerator[bytes, None]:
        """Read a blob in chunks, from a place on.

        Raises ObjectNotFound, also when it is deleted meanwhile, and StoreUnavailable.
        """
        file = await self._call(self._open, name)
        try:
            file.seek(start_bytes)
            while chunk := await self._call(self._next_chunk, file, name, chunk_bytes):
                yield chunk
        finally:
            file.close()

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove blobs; none is no error. Raises StoreUnavailable."""
        await self._call(self._delete, keys)

    async def listing(self) -> AsyncGenerator[Sequence[StoredBlob], None]:
        """All blobs, a folder at a time, since when they were written. Raises StoreUnavailable."""
        for folder in FOLDERS:
            yield await self._call(_blobs, self._root / folder)

    async def missing(self, keys: Sequence[str]) -> Sequence[str]:
        """Those of these keys that have no blob. Raises StoreUnavailable."""
        return await self._call(self._missing, keys)

    async def quarantine(self, keys: Sequence[str]) -> None:
        """Set blobs aside, where only `put_back` finds them again; none is no error. Raises StoreUnavailable."""
        await self._call(self._set_aside, keys)

    async def quarantined(self) -> AsyncGenerator[Sequence[StoredBlob], None]:
        """List the blobs that are set aside, and since when, some at a time. Raises StoreUnavailable."""
        blobs = await self._call(_blobs, self._quarantine)
        for start in range(0, len(blobs), BLOBS_A_PART):
            yield blobs[start : start + BLOBS_A_PART]

    async def put_back(self, keys: Sequence[str]) -> None:
        """Take blobs out of quarantine. Raises StoreUnavailable."""
        await self._call(self._put_back, keys)

    async def discard(self, keys: Sequence[str]) -> None:
        """Remove blobs that are in quarantine; none is no error. Raises StoreUnavailable."""
        await self._call(self._discard, keys)

    def url(self, name: BlobName) -> str | None:
        """Make a `file://` URL of the blob, which need not exist; None for what is no key of the tenant."""
        # A key has nothing that a URL would have to escape, and every result asks for one.
        try:
            return f"{self._root_url}/{path_to_read(name)}"
        except ObjectNotFound:
            return None

    async def sweep_temporary(self) -> int:
        """Remove what killed writers left, before any writer starts; answers of how many. Raises StoreUnavailable."""
        return await self._call(self._sweep_temporary)

    async def _call(self, work: Callable[..., T], *arguments: object) -> T:
        return await in_thread(self._calls, work, *arguments)

    def _make_folders(self) -> None:
        # All of them now, so that no write has to make one and to sync its parents.
        with store_errors():
            self._temporary.mkdir(parents=True, exist_ok=True)
            self._quarantine.mkdir(exist_ok=True)
            for first in DIGITS:
                for second in DIGITS:
                    (self._root / first / second).mkdir(parents=True, exist_ok=True)
                sync_folder(self._root / first)
            sync_folder(self._root)
            sync_folder(self._root.parent)

    def _sweep_temporary(self) -> int:
        with store_errors():
            leftovers = list(self._temporary.iterdir())
            for leftover in leftovers:
                leftover.unlink()
        return len(leftovers)

    def _path(self, key: str) -> Path:
        return self._root / blob_path(key)

    def _put_many(self, blobs: Sequence[NewBlob]) -> None:
        targets = [self._path(blob.key) for blob in blobs]
        parts = [self._part() for _ in blobs]
        named: list[Path] = []
        with store_errors(), removed_on_error(parts), removed_on_error(named):
            in_parallel(self._writes, write_durably, parts, [blob.data for blob in blobs])
            for part, target in zip(parts, targets, strict=True):
                name_once(part, target)
                named.append(target)
            in_parallel(self._writes, sync_folder, {target.parent for target in targets})

    def _part(self) -> Path:
        return self._temporary / secrets.token_hex(16)

    def _get_many(self, names: Sequence[BlobName], max_bytes: int, max_total_bytes: int) -> Sequence[bytes | ItemError]:
        found: list[bytes | ItemError] = []
        known: dict[BlobName, bytes | ItemError] = {}  # items of a batch may ask different things of one image
        held_bytes = 0
        for name in names:
            if found and held_bytes >= max_total_bytes:
                break
            if name not in known:
                try:
                    known[name] = data = self._get(name, max_bytes)
                    held_bytes += len(data)
                except ItemError as error:
                    known[name] = error
            found.append(known[name])
        return found

    def _get(self, name: BlobName, max_bytes: int) -> bytes:
        try:
            file = self._open(name)
        except ObjectNotFound as error:
            raise ItemError(ItemErrorCode.OBJECT_NOT_FOUND, str(error)) from error
        with file, store_errors():
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > max_bytes:
                raise ItemError(
                    ItemErrorCode.TOO_LARGE,
                    f"object {name.object_key} has {size_bytes:,} bytes, the limit is {max_bytes:,}; send it smaller",
                )
            return file.read()

    def _open(self, name: BlobName) -> IO[bytes]:
        path = self._root / path_to_read(name)
        with store_errors():
            try:
                return path.open("rb")
            except FileNotFoundError as error:
                self._check_place()
                raise ObjectNotFound(name.object_key) from error

    def _next_chunk(self, file: IO[bytes], name: BlobName, chunk_bytes: int) -> bytes:
        # An open file can be read on after its deletion, but nobody vouches for it.
        if not (self._root / path_to_read(name)).exists():
            raise ObjectNotFound(name.object_key)
        with store_errors():
            return file.read(chunk_bytes)

    def _check_place(self) -> None:
        """Keep a folder that is not mounted from being taken for one whose blobs are gone."""
        if self._place.id() != self._id:
            raise StoreUnavailable("the folder of objects is not the one that the server started with: mount it again")

    def _missing(self, keys: Sequence[str]) -> Sequence[str]:
        with store_errors():
            missing = [key for key in keys if not self._path(key).exists()]
        if missing:
            self._check_place()
        return missing

    def _set_aside(self, keys: Sequence[str]) -> None:
        with store_errors():
            for key in keys:
                aside = self._quarantine / key
                with suppress(FileNotFoundError):  # deleted meanwhile
                    self._path(key).rename(aside)
                    os.utime(aside)  # its time there begins now
            sync_folder(self._quarantine)

    def _put_back(self, keys: Sequence[str]) -> None:
        targets = [self._path(key) for key in keys]
        with store_errors():
            for target in targets:
                (self._quarantine / target.name).rename(target)
            for folder in {target.parent for target in targets}:
                sync_folder(folder)

    def _discard(self, keys: Sequence[str]) -> None:
        with store_errors():
            for key in keys:
                (self._quarantine / key).unlink(missing_ok=True)

    def _delete(self, keys: Sequence[str]) -> None:
        with store_errors():
            for key in keys:
                if is_key(key):
                    self._path(key).unlink(missing_ok=True)


def _blobs(folder: Path) -> list[StoredBlob]:
    found = []
    with store_errors():
        for path in folder.iterdir():
            with suppress(FileNotFoundError):  # deleted meanwhile
                if is_key(path.name):
                    found.append(StoredBlob(path.name, datetime.fromtimestamp(path.stat().st_mtime, UTC)))
    return found
