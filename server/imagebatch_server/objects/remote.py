"""Images' bytes as objects of a bucket; a blob is durable when the bucket has answered for it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import obstore

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError, ObjectExists, ObjectNotFound, StoreUnavailable
from imagebatch_server.batches.model import BlobName
from imagebatch_server.batches.ports.objects import NewBlob, StoredBlob
from imagebatch_server.objects.bucket_place import BucketPlace
from imagebatch_server.objects.layout import (
    FOLDERS,
    QUARANTINE,
    blob_path,
    incoming_path,
    is_key,
    new_key,
    path_to_read,
    quarantine_path,
)
from imagebatch_server.objects.remote_writer import RemoteBlobWriter, write_once

if TYPE_CHECKING:
    from obstore import GetResult

_AT_ONCE = 16
"""Requests that one call has under way."""

_CHUNK_BYTES = 1024 * 1024

T = TypeVar("T")
V = TypeVar("V")


class RemoteBlobStore:
    """Blobs below the prefix of a bucket, which is told from others by its id."""

    most_looked_for = 100  # each is a request, which is paid for

    def __init__(self, place: BucketPlace, url_lifetime: timedelta) -> None:
        """`url_lifetime` is how long the URLs are good that `url` makes. Raises StoreUnavailable."""
        self._bucket, self._errors = place.bucket, place.errors
        self._place = place
        self._id = place.make_id()
        self._url_lifetime = url_lifetime
        self._next_folder = secrets.randbelow(len(FOLDERS))  # so that all have their turn however often servers start

    async def close(self) -> None:
        """Let go of nothing: connections end with the client."""

    def new_key(self, tenant: str) -> str:
        """Make an object key: opaque, unique and random."""
        return new_key(tenant)

    async def put_many(self, blobs: Sequence[NewBlob]) -> None:
        """Write several blobs durably. Raises ObjectExists, and StoreUnavailable, with none left behind if it answers.

        What a bucket keeps that went away meanwhile is an unknown blob, which the sweeper finds.
        """
        written: list[str] = []

        async def put(blob: NewBlob) -> None:
            await write_once(self._bucket, self._errors, blob)
            written.append(blob.key)

        try:
            await _each(put, blobs)
        except (ObjectExists, StoreUnavailable):
            with suppress(StoreUnavailable):
                await self.delete(written)
            raise

    async def get_many(
        self, names: Sequence[BlobName], *, max_bytes: int, max_total_bytes: int
    ) -> Sequence[bytes | ItemError]:
        """Read blobs whole, in order, several at a time; an ItemError stands for one that can't be read.

        Answers fewer, but at least one, once they hold `max_total_bytes`. Raises StoreUnavailable.
        """

        async def opened(name: BlobName) -> GetResult | ItemError:
            try:
                return await self._open(name, max_bytes)
            except ItemError as error:
                return error

        async def read(blob: GetResult | ItemError) -> bytes | ItemError:
            return blob if isinstance(blob, ItemError) else await self._body(blob)

        found: list[bytes | ItemError] = []
        known: dict[BlobName, bytes | ItemError] = {}  # items of a batch may ask different things of one image
        held_bytes = 0
        while len(found) < len(names) and held_bytes < max_total_bytes:
            part = names[len(found) : len(found) + _AT_ONCE]
            asked = [name for name in dict.fromkeys(part) if name not in known]
            there = dict(zip(asked, await _each(opened, asked), strict=True))
            wanted: dict[BlobName, GetResult | ItemError] = {}
            for index, name in enumerate(part):
                if held_bytes >= max_total_bytes:
                    part = part[:index]
                    break
                if name in there and name not in wanted:
                    wanted[name] = blob = there[name]
                    held_bytes += 0 if isinstance(blob, ItemError) else blob.meta["size"]
            known.update(zip(wanted, await _each(read, wanted.values()), strict=True))
            found += [known[name] for name in part]
        return found

    def writer(self, key: str, content_type: str) -> RemoteBlobWriter:
        """Write one blob in chunks: `async with store.writer(key, "") as blob: await blob.write(chunk)`."""
        return RemoteBlobWriter(self._bucket, key, content_type, self._errors)

    async def read(self, name: BlobName, start_bytes: int = 0) -> AsyncGenerator[bytes, None]:
        """Read a blob in chunks, a request each, so that a slow reader keeps no connection.

        Raises ObjectNotFound, also when it is deleted meanwhile, and StoreUnavailable.
        """
        path = path_to_read(name)
        try:
            with self._errors():
                size_bytes = (await self._bucket.head_async(path))["size"]
            for start in range(start_bytes, size_bytes, _CHUNK_BYTES):
                with self._errors():
                    chunk = await self._bucket.get_range_async(
                        path, start=start, end=min(start + _CHUNK_BYTES, size_bytes)
                    )
                yield bytes(chunk)
        except FileNotFoundError as error:
            await self._check_place()
            raise ObjectNotFound(name.object_key) from error

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove blobs, and what was uploaded to be one, some at a time; none is no error. Raises StoreUnavailable."""
        paths = [path(key) for key in keys if is_key(key) for path in (blob_path, incoming_path)]
        await _each(self._remove, paths)

    async def listing(self) -> AsyncGenerator[Sequence[StoredBlob], None]:
        """List the blobs of one of the 256 folders, the next one each time. Raises StoreUnavailable."""
        folder = FOLDERS[self._next_folder]
        self._next_folder = (self._next_folder + 1) % len(FOLDERS)
        async for part in self._listed(folder):
            yield part

    async def missing(self, keys: Sequence[str]) -> Sequence[str]:
        """Those of these keys that have no blob. Raises StoreUnavailable."""
        there = await _each(self._is_there, keys)
        missing = [key for key, is_there in zip(keys, there, strict=True) if not is_there]
        if missing:
            await self._check_place()
        return missing

    async def quarantine(self, keys: Sequence[str]) -> None:
        """Set blobs aside, where only `put_back` finds them again; none is no error. Raises StoreUnavailable."""

        async def set_aside(key: str) -> None:
            with suppress(FileNotFoundError), self._errors():  # deleted meanwhile
                await self._bucket.rename_async(blob_path(key), quarantine_path(key))

        await _each(set_aside, keys)

    async def quarantined(self) -> AsyncGenerator[Sequence[StoredBlob], None]:
        """List the blobs that are set aside, and since when, some at a time. Raises StoreUnavailable."""
        async for part in self._listed(QUARANTINE):
            yield part

    async def put_back(self, keys: Sequence[str]) -> None:
        """Take blobs out of quarantine. Raises StoreUnavailable."""

        async def put_back(key: str) -> None:
            with self._errors():
                await self._bucket.rename_async(quarantine_path(key), blob_path(key))

        await _each(put_back, keys)

    async def discard(self, keys: Sequence[str]) -> None:
        """Remove blobs that are in quarantine; none is no error. Raises StoreUnavailable."""
        await _each(self._remove, [quarantine_path(key) for key in keys])

    def url(self, name: BlobName) -> str | None:
        """Sign a URL under which the blob can be read for a while, if it is there; None for no key of the tenant."""
        try:
            return obstore.sign(self._bucket, "GET", path_to_read(name), self._url_lifetime)
        except ObjectNotFound:
            return None

    async def sweep_temporary(self) -> int:
        """Leave what killed writers left to the bucket's own rule: parts of an upload are no objects of ours yet."""
        return 0

    async def _open(self, name: BlobName, max_bytes: int) -> GetResult:
        """Ask for a blob, whose bytes are still to come. Raises ItemError, StoreUnavailable."""
        try:
            path = path_to_read(name)
            with self._errors():
                found = await self._bucket.get_async(path)
        except (ObjectNotFound, FileNotFoundError) as error:
            await self._check_place()
            raise ItemError(ItemErrorCode.OBJECT_NOT_FOUND, str(ObjectNotFound(name.object_key))) from error
        size_bytes = found.meta["size"]
        if size_bytes > max_bytes:
            raise ItemError(
                ItemErrorCode.TOO_LARGE,
                f"object {name.object_key} has {size_bytes:,} bytes, the limit is {max_bytes:,}; send it smaller",
            )
        return found

    async def _body(self, found: GetResult) -> bytes:
        with self._errors():
            return bytes(await found.bytes_async())

    async def _is_there(self, key: str) -> bool:
        try:
            with self._errors():
                await self._bucket.head_async(blob_path(key))
            return True
        except FileNotFoundError:
            return False

    async def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError), self._errors():
            await self._bucket.delete_async(path)

    async def _listed(self, folder: str) -> AsyncGenerator[Sequence[StoredBlob], None]:
        pages = self._bucket.list_async(folder)
        while True:
            with self._errors():
                page = await anext(pages, None)
            if page is None:
                return
            named = [(entry["path"].rpartition("/")[2], entry["last_modified"]) for entry in page]
            yield [StoredBlob(key, since) for key, since in named if is_key(key)]

    async def _check_place(self) -> None:
        """Keep a bucket that is gone, or another, from being taken for one whose blobs are."""
        if await asyncio.to_thread(self._place.id) != self._id:
            raise StoreUnavailable("the object store is not the one that the server started with: check its URL")


async def _each(work: Callable[[V], Awaitable[T]], values: Iterable[V]) -> list[T]:
    """Call `work` for each value, some at a time; raise an error of theirs, once none is under way any more."""
    left, results = list(values), list[T]()
    while left:
        part, left = left[:_AT_ONCE], left[_AT_ONCE:]
        tasks = [asyncio.ensure_future(work(value)) for value in part]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
        results += [task.result() for task in tasks]
    return results
