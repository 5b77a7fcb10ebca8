"""Images that callers store before they submit, and read back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import UTC, datetime

from imagebatch_server.batches.errors import LimitExceeded
from imagebatch_server.batches.model import ImageHeader, StoredObject
from imagebatch_server.batches.ports import BlobStore, ObjectRows


class Uploads:
    """Stores any bytes as objects. What is wrong with an image is the outcome of the item that uses it."""

    def __init__(
        self,
        blobs: BlobStore,
        rows: ObjectRows,
        read_header: Callable[[bytes], ImageHeader | None],
        *,
        max_image_bytes: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._blobs = blobs
        self._rows = rows
        self._read_header = read_header
        self._max_image_bytes = max_image_bytes
        self._now = now

    async def store(
        self, tenant: str, content_type: str, file_name: str, chunks: AsyncIterator[bytes]
    ) -> tuple[StoredObject, ImageHeader | None]:
        """Store one image durably; a stream that ends by an exception leaves nothing.

        Raises LimitExceeded, StoreUnavailable.
        """
        key = self._blobs.new_key(tenant)
        async with self._blobs.writer(key) as blob:
            async for chunk in chunks:
                await blob.write(chunk)
                if blob.size_bytes > self._max_image_bytes:
                    raise self._too_large(blob.size_bytes)
        stored = StoredObject(
            tenant=tenant,
            object_key=key,
            sha256=blob.sha256,
            size_bytes=blob.size_bytes,
            content_type=content_type,
            file_name=file_name,
            created_at=self._now(),
        )
        await self._rows.add(stored)
        return stored, self._read_header(blob.head)

    async def find(self, tenant: str, object_key: str) -> StoredObject:
        """What is known of an object. Raises ObjectNotFound."""
        return await self._rows.get(tenant, object_key)

    def read(self, stored: StoredObject) -> AsyncGenerator[bytes, None]:
        """An object's bytes. Raises ObjectNotFound, also if it is removed meanwhile."""
        return self._blobs.read(stored.object_key)

    def _too_large(self, size_bytes: int) -> LimitExceeded:
        return LimitExceeded(
            "max_image_bytes",
            f"the image has more than {self._max_image_bytes} bytes, the most that this server takes; "
            "send it smaller, or raise IMAGEBATCH_MAX_IMAGE_BYTES",
            value=size_bytes,
            setting="IMAGEBATCH_MAX_IMAGE_BYTES",
        )
