"""What callers upload to a bucket by themselves: at paths of its own, for a URL that is signed may be used again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta

import obstore
from obstore.store import AzureStore

from imagebatch_server.batches.model import UploadUrl
from imagebatch_server.objects.bucket_place import BucketPlace
from imagebatch_server.objects.layout import incoming_path


class RemoteArrivals:
    """The port `Arrivals` on a bucket, whose provider signs the URLs."""

    def __init__(
        self, place: BucketPlace, url_lifetime: timedelta, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """`url_lifetime` is how long the URLs are good."""
        self._bucket, self._errors = place.bucket, place.errors
        self._url_lifetime = url_lifetime
        self._now = now

    def upload_url(self, tenant: str, object_key: str, content_type: str, size_bytes: int) -> UploadUrl:
        """Sign a URL. What is uploaded there is of that size or is not taken in. Raises StoreUnavailable."""
        del tenant, size_bytes  # no provider signs them alike
        headers = {"content-type": content_type}
        if isinstance(self._bucket, AzureStore):
            headers["x-ms-blob-type"] = "BlockBlob"  # which it asks for
        expires_at = self._now() + self._url_lifetime
        with self._errors():
            url = obstore.sign(self._bucket, "PUT", incoming_path(object_key), self._url_lifetime)
        return UploadUrl(url, headers, expires_at)

    async def size_bytes(self, object_key: str) -> int | None:
        """Tell how much has come; None for nothing. Raises StoreUnavailable."""
        try:
            with self._errors():
                return (await self._bucket.head_async(incoming_path(object_key)))["size"]
        except FileNotFoundError:
            return None

    async def read(self, object_key: str) -> AsyncGenerator[bytes, None]:
        """Read what has come, as of one moment; nothing if it is gone. Raises StoreUnavailable."""
        try:
            with self._errors():
                found = await self._bucket.get_async(incoming_path(object_key))
            chunks = aiter(found.stream())
            while True:
                with self._errors():
                    chunk = await anext(chunks, None)
                if chunk is None:
                    return
                yield bytes(chunk)
        except FileNotFoundError:
            return

    async def forget(self, object_key: str) -> None:
        """Remove what has come. Raises StoreUnavailable."""
        try:
            with self._errors():
                await self._bucket.delete_async(incoming_path(object_key))
        except FileNotFoundError:
            return
