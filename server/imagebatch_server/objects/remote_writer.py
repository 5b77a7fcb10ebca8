"""Writing one blob of unknown size to a bucket, in parts, so that no more than a few of them are in memory."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Self

from obstore.exceptions import AlreadyExistsError

from imagebatch_server.batches.errors import ObjectExists, StoreUnavailable
from imagebatch_server.batches.model import HEAD_BYTES
from imagebatch_server.batches.ports.objects import NewBlob
from imagebatch_server.objects.bucket import Bucket, BucketErrors
from imagebatch_server.objects.layout import blob_path

PART_BYTES = 5 * 1024 * 1024
"""The least that S3 takes as a part of an upload."""

_PARTS_AT_ONCE = 2


class RemoteBlobWriter:
    """One blob that grows by chunks. Leaving the block commits it durably, leaving it by an exception removes it.

    What fits into one part is written in one request, and never over another blob. Of a larger one the parts are sent
    as they come, and whether the key is free is asked before the last of them. `write` and leaving raise
    StoreUnavailable, leaving also ObjectExists.
    """

    def __init__(self, bucket: Bucket, key: str, content_type: str, errors: BucketErrors) -> None:
        self._bucket = bucket
        self._key = key
        self._path = blob_path(key)
        self._content_type = content_type
        self._errors = errors
        self._digest = hashlib.sha256()
        self._part = bytearray()
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._upload: asyncio.Future[None] | None = None
        self._abandoned = False
        self.size_bytes = 0
        """Written so far."""
        self.head = b""
        """The first `HEAD_BYTES` bytes, enough to tell format and size."""

    @property
    def sha256(self) -> str:
        """Of what was written so far, 64 lower-case hex digits."""
        return self._digest.hexdigest()

    async def __aenter__(self) -> Self:
        return self

    async def write(self, chunk: bytes) -> None:
        """Append a chunk; waits while parts before it are under way."""
        self._digest.update(chunk)
        self.size_bytes += len(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head = (self.head + chunk)[:HEAD_BYTES]
        self._part += chunk
        if len(self._part) >= PART_BYTES:
            part, self._part = bytes(self._part), bytearray()
            await self._send(part)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Shielded: a caller that is cancelled now must still leave a whole blob or none.
        await asyncio.shield(self._abandon() if kind else self._commit())

    async def _commit(self) -> None:
        if self._upload is None:
            await write_once(self._bucket, self._errors, NewBlob(self._key, bytes(self._part), self._content_type))
            return
        try:
            if self._part:
                await self._send(bytes(self._part))
            if await self._exists():
                raise ObjectExists(self._key)
            await self._send(None)
            await self._upload
        except BaseException:
            await self._abandon()
            raise

    async def _abandon(self) -> None:
        """End the upload by an error, at which the bucket is told to drop the parts that it has."""
        self._abandoned = True
        if self._upload is not None:
            with suppress(asyncio.QueueFull):
                self._parts.put_nowait(None)
            with suppress(_Abandoned, StoreUnavailable):
                await self._upload

    async def _send(self, part: bytes | None) -> None:
        if self._upload is None:
            self._upload = asyncio.ensure_future(self._put_parts())
        sending = asyncio.ensure_future(self._parts.put(part))
        await asyncio.wait([sending, self._upload], return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            sending.cancel()
            await self._upload  # raises why it ended before its time

    async def _put_parts(self) -> None:
        with self._errors():
            await self._bucket.put_async(
                self._path,
                self._next_parts(),
                attributes=_attributes(self._content_type),
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )

    async def _next_parts(self) -> AsyncIterator[bytes]:
        while True:
            part = await self._parts.get()
            if self._abandoned:
                raise _Abandoned
            if part is None:
                return
            yield part

    async def _exists(self) -> bool:
        try:
            with self._errors():
                await self._bucket.head_async(self._path)
            return True
        except FileNotFoundError:
            return False


class _Abandoned(Exception):
    """Whoever wrote the blob gave it up."""


async def write_once(bucket: Bucket, errors: BucketErrors, blob: NewBlob) -> None:
    """Write a blob in one request, if its key is free. Raises ObjectExists, StoreUnavailable."""
    path = blob_path(blob.key)
    try:
        with errors():
            await bucket.put_async(
                path, blob.data, mode="create", attributes=_attributes(blob.content_type), use_multipart=False
            )
    except AlreadyExistsError as error:
        # It may be what this very call wrote, in a try whose answer was lost.
        if await _holds(bucket, errors, path, blob.data):
            return
        raise ObjectExists(blob.key) from error


async def _holds(bucket: Bucket, errors: BucketErrors, path: str, data: bytes) -> bool:
    try:
        with errors():
            there = await bucket.get_async(path)
            return there.meta["size"] == len(data) and bytes(await there.bytes_async()) == data
    except FileNotFoundError:
        return False


def _attributes(content_type: str) -> dict[str, str]:
    """Say as what a bucket serves a blob: as the image that it was said to be, and never as a page that could act."""
    is_image = _IMAGE.fullmatch(content_type) and content_type != "image/svg+xml"
    return {"Content-Type": content_type if is_image else "application/octet-stream"}


_IMAGE = re.compile(r"image/[a-z0-9][a-z0-9.+-]{0,60}")
