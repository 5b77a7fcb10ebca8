"""Images that callers upload to a URL: promised first, then written once, as they were promised."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime

from imagebatch_server.batches.errors import InvalidRequest, ObjectExists, ObjectNotFound, Violation
from imagebatch_server.batches.model import BlobName, StoredObject, UploadUrl
from imagebatch_server.batches.ports.objects import BlobStore, ObjectRows, UploadUrls
from imagebatch_server.batches.uploads import too_large

UNKNOWN_TYPE = "application/octet-stream"
"""Of an image whose caller names no type: the PUT must name one."""


class UploadedAlready(Exception):
    """The object is complete, or is being uploaded by another PUT."""

    def __init__(self, object_key: str) -> None:
        super().__init__(f"object {object_key} is uploaded already; ask CreateUploadUrl for another one")


class AwaitedUploads:
    """Promise URLs, and take what is uploaded to them.

    The object's row is there from the promise on, incomplete: items may name it, and the sweeper removes it in time if
    nothing comes.
    """

    def __init__(
        self,
        blobs: BlobStore,
        rows: ObjectRows,
        urls: UploadUrls,
        *,
        max_image_bytes: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._blobs = blobs
        self._rows = rows
        self._urls = urls
        self._max_image_bytes = max_image_bytes
        self._now = now
        self._under_way: set[str] = set()

    async def promise(
        self, tenant: str, content_type: str, file_name: str, size_bytes: int
    ) -> tuple[StoredObject, UploadUrl]:
        """Make an object that is incomplete, and the URL that completes it. Raises LimitExceeded, StoreUnavailable."""
        if size_bytes > self._max_image_bytes:
            raise too_large(size_bytes, self._max_image_bytes)
        key = self._blobs.new_key(tenant)
        url = self._urls.upload_url(tenant, key, content_type or UNKNOWN_TYPE, size_bytes)
        promised = StoredObject(
            tenant=tenant,
            object_key=key,
            sha256="",
            size_bytes=size_bytes,
            content_type=content_type,
            file_name=file_name,
            created_at=self._now(),
        )
        await self._rows.expect(promised, url.expires_at)
        return promised, url

    async def fill(self, tenant: str, object_key: str, chunks: AsyncIterator[bytes]) -> StoredObject:
        """Write the promised bytes, durably and whole; whatever goes wrong leaves the object as it was.

        Raises ObjectNotFound if its time is up, UploadedAlready, InvalidRequest for another number of bytes,
        StoreUnavailable.
        """
        with self._alone(object_key):
            promised = await self._rows.expected(tenant, object_key)
            if promised is None:
                raise UploadedAlready(object_key)
            sha256 = await self._write(promised, chunks)
            filled = dataclasses.replace(promised, sha256=sha256, created_at=self._now())
            if not await self._rows.complete(filled):
                raise ObjectNotFound(object_key)  # the sweeper took the row a moment ago, and sets the blob aside
            return filled

    async def _write(self, promised: StoredObject, chunks: AsyncIterator[bytes]) -> str:
        """Write the blob, and answer its digest."""
        blob = self._blobs.writer(promised.object_key, promised.content_type)
        try:
            async with blob:
                async for chunk in chunks:
                    await blob.write(chunk)
                    if blob.size_bytes > promised.size_bytes:
                        break
                if blob.size_bytes != promised.size_bytes:
                    came = "more" if blob.size_bytes > promised.size_bytes else str(blob.size_bytes)
                    text = f"{promised.size_bytes} bytes were promised, and {came} came; send the image that was meant"
                    raise InvalidRequest([Violation("", text)])
        except ObjectExists:
            # A server that died between blob and row left it; a repeat of the same bytes goes on from there.
            if await self._digest(promised.blob) != blob.sha256:
                raise UploadedAlready(promised.object_key) from None
        return blob.sha256

    async def _digest(self, blob: BlobName) -> str:
        digest = hashlib.sha256()
        chunks = self._blobs.read(blob)
        async with aclosing(chunks):
            async for chunk in chunks:
                digest.update(chunk)
        return digest.hexdigest()

    @contextmanager
    def _alone(self, object_key: str) -> Iterator[None]:
        """Keep two from writing one object here; the store keeps two servers from it."""
        if object_key in self._under_way:
            raise UploadedAlready(object_key)
        self._under_way.add(object_key)
        try:
            yield
        finally:
            self._under_way.discard(object_key)
