"""Images that callers uploaded to the object store by themselves: read once, before they are first used."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.awaited_uploads import AwaitedUploads, UploadedAlready
from imagebatch_server.batches.errors import InvalidRequest, ItemError, ObjectNotFound
from imagebatch_server.batches.model import BlobName
from imagebatch_server.batches.ports.objects import Arrivals, BlobReader, BlobStore, ObjectRows, TakeIn

_AT_ONCE = 8
"""Images that are taken in at one time for one caller; each holds some MiB."""


class ArrivedUploads:
    """Make objects of what has come: its bytes are copied to where nobody can write, and their digest is told.

    Until then whoever has the URL may upload another image of that size in its place, and from then on nobody can.
    """

    def __init__(self, blobs: BlobStore, rows: ObjectRows, awaited: AwaitedUploads, arrivals: Arrivals) -> None:
        self._blobs = blobs
        self._rows = rows
        self._awaited = awaited
        self._arrivals = arrivals
        self._under_way: dict[BlobName, asyncio.Task[bool]] = {}

    async def take_in(self, names: Iterable[BlobName]) -> bool:
        """Take in those that have come and were not taken in yet; whether there was one. Raises StoreUnavailable."""
        left, taken = list(dict.fromkeys(names)), False
        while left:
            part, left = left[:_AT_ONCE], left[_AT_ONCE:]
            taken = any([*(await asyncio.gather(*map(self._once, part))), taken])
        return taken

    async def _once(self, name: BlobName) -> bool:
        """Take one in, for all who ask for it meanwhile, and to its end if they are gone."""
        task = self._under_way.get(name)
        if task is None:
            task = self._under_way[name] = asyncio.ensure_future(self._take_in(name))
            task.add_done_callback(lambda _: self._under_way.pop(name, None))
        return await asyncio.shield(task)

    async def _take_in(self, name: BlobName) -> bool:
        key = name.object_key
        try:
            promised = await self._rows.expected(name.tenant, key)
        except ObjectNotFound:
            return False
        if promised is None:
            return True  # by another server, or a moment ago
        if await self._arrivals.size_bytes(key) != promised.size_bytes:
            return False
        try:
            await self._fill(name)
        except (ObjectNotFound, UploadedAlready, InvalidRequest):  # it was removed, or replaced, or another was first
            return await self._is_complete(name)
        await self._arrivals.forget(key)
        return True

    async def _fill(self, name: BlobName) -> None:
        try:
            await self._awaited.fill(name.tenant, name.object_key, self._arrivals.read(name.object_key))
        except UploadedAlready:  # a server that died between blob and row may have copied what was there before
            await self._awaited.fill(name.tenant, name.object_key, self._blobs.read(name))

    async def _is_complete(self, name: BlobName) -> bool:
        try:
            return await self._rows.expected(name.tenant, name.object_key) is None
        except ObjectNotFound:
            return False


class ArrivingBlobs:
    """Read blobs, and those that callers uploaded by themselves once they are taken in."""

    def __init__(self, blobs: BlobReader, take_in: TakeIn) -> None:
        self._blobs = blobs
        self._take_in = take_in

    async def get_many(
        self, names: Sequence[BlobName], *, max_bytes: int, max_total_bytes: int
    ) -> Sequence[bytes | ItemError]:
        """Do what the port says."""
        found = await self._blobs.get_many(names, max_bytes=max_bytes, max_total_bytes=max_total_bytes)
        missing = [name for name, image in zip(names, found, strict=False) if _is_not_there(image)]
        if not missing or not await self._take_in(missing):
            return found
        return await self._blobs.get_many(names, max_bytes=max_bytes, max_total_bytes=max_total_bytes)


def _is_not_there(image: bytes | ItemError) -> bool:
    return isinstance(image, ItemError) and image.code is ItemErrorCode.OBJECT_NOT_FOUND
