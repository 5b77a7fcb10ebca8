"""Images that callers store before they submit, and read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime

from imagebatch_server.batches.errors import (
    InvalidRequest,
    Limit,
    LimitExceeded,
    ObjectNotFound,
    RequestError,
    StoreUnavailable,
    Violation,
)
from imagebatch_server.batches.model import BlobName, ImageHeader, StoredObject
from imagebatch_server.batches.ports.objects import BlobStore, ObjectRows, TakeIn
from imagebatch_server.batches.quotas import QuotasOf


class Uploads:
    """Store any bytes as objects. What is wrong with an image is the outcome of the item that uses it."""

    def __init__(
        self,
        blobs: BlobStore,
        rows: ObjectRows,
        quotas: QuotasOf,
        read_header: Callable[[bytes], ImageHeader | None],
        *,
        max_image_bytes: int,
        take_in: TakeIn | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._blobs = blobs
        self._rows = rows
        self._quotas = quotas
        self._coming: Counter[str] = Counter()
        """Bytes of uploads under way, by tenant."""
        self._read_header = read_header
        self._max_image_bytes = max_image_bytes
        self._take_in = take_in
        self._now = now

    async def store(
        self, tenant: str, content_type: str, file_name: str, sha256: str | None, chunks: AsyncIterator[bytes]
    ) -> tuple[StoredObject, ImageHeader | None]:
        """Store one image durably; a stream that ends by an exception leaves nothing.

        `sha256` is what the caller says of the bytes: if they are stored already, `chunks` are not read. Raises
        InvalidRequest if the bytes that came are others, LimitExceeded, TenantDeleted, StoreUnavailable.
        """
        if sha256 is not None and (known := await self._rows.reuse(tenant, sha256, content_type, self._now())):
            return known, self._read_header(await self.head(known))
        key = self._blobs.new_key(tenant)
        async with self._blobs.writer(key, content_type) as blob:
            async with aclosing(self._within_quota(tenant, chunks)) as coming:
                async for chunk in coming:
                    await blob.write(chunk)
                    if blob.size_bytes > self._max_image_bytes:
                        raise too_large(blob.size_bytes, self._max_image_bytes)
            if sha256 is not None and blob.sha256 != sha256:
                description = f"{sha256} is not that of the {blob.size_bytes} bytes that came, which is {blob.sha256}"
                raise InvalidRequest([Violation("header.sha256", f"{description}; send the image that it was made of")])
        stored = StoredObject(
            tenant=tenant,
            object_key=key,
            sha256=blob.sha256,
            size_bytes=blob.size_bytes,
            content_type=content_type,
            file_name=file_name,
            created_at=self._now(),
        )
        try:
            await self._rows.add(stored)
        except StoreUnavailable:
            raise  # the row may have been committed; the sweeper sets the blob aside if it was not
        except RequestError:
            await self._blobs.delete([key])
            raise
        return stored, self._read_header(blob.head)

    async def find(self, tenant: str, object_key: str) -> StoredObject:
        """Look an object up. Raises ObjectNotFound."""
        try:
            return await self._rows.get(tenant, object_key)
        except ObjectNotFound:
            if self._take_in is None or not await self._take_in([BlobName(tenant, object_key)]):
                raise
            return await self._rows.get(tenant, object_key)

    def read(self, stored: StoredObject, start_bytes: int = 0) -> AsyncGenerator[bytes, None]:
        """Read an object's bytes, from a place on. Raises ObjectNotFound, also if it is removed meanwhile."""
        return self._blobs.read(stored.blob, start_bytes)

    async def _within_quota(self, tenant: str, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Hold room for what comes while it comes, so that many uploads at once fill no more than there is.

        Raises LimitExceeded. What counts is decided once more when the row is added.
        """
        quotas = self._quotas(tenant)
        stored_bytes = await self._rows.stored_bytes(tenant) if quotas.max_stored_bytes is not None else 0
        came = 0
        try:
            async for chunk in chunks:
                came += len(chunk)
                self._coming[tenant] += len(chunk)
                quotas.check_stored(stored_bytes + self._coming[tenant])
                yield chunk
        finally:
            self._coming[tenant] -= came
            if not self._coming[tenant]:
                del self._coming[tenant]

    async def head(self, stored: StoredObject) -> bytes:
        """Read an object's first bytes, enough to tell its format and size. Raises ObjectNotFound."""
        chunks = self._blobs.read(stored.blob)
        async with aclosing(chunks):
            return await anext(chunks, b"")


def too_large(size_bytes: int, most: int) -> LimitExceeded:
    """Make the error of an image that is larger than the server takes."""
    return LimitExceeded(
        Limit("max_image_bytes", most, size_bytes, "IMAGEBATCH_MAX_IMAGE_BYTES"),
        f"the image has more than {most} bytes, the most that this server takes; "
        "send it smaller, or raise IMAGEBATCH_MAX_IMAGE_BYTES",
    )
