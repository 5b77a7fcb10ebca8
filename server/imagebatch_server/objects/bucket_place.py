"""The id by which a bucket's prefix is known again, whatever its URL is called."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import suppress

from obstore.exceptions import AlreadyExistsError

from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.objects.bucket import BucketErrors, open_bucket
from imagebatch_server.objects.layout import STORE_ID, blob_path, is_key, store_id


class BucketPlace:
    """The port `ObjectStorePlace`: a prefix that holds blobs, or is to hold them. Nothing is made before `make_id`.

    Its methods block, for at most a minute. They raise StoreUnavailable when the bucket does not answer.
    """

    def __init__(self, url: str) -> None:
        """Name the prefix; nothing is asked yet. Raises BucketUrlInvalid."""
        self.bucket = open_bucket(url)
        self.errors = BucketErrors(url)
        self._url = url

    def __str__(self) -> str:
        return self._url

    def id(self) -> str | None:
        """Read the store's id; None if it has none, or the object holds something else."""
        try:
            with self.errors():
                return store_id(bytes(self.bucket.get(STORE_ID).bytes()).decode(errors="replace"))
        except FileNotFoundError:
            return None

    def make_id(self) -> str:
        """Answer the store's id, after giving it one durably if it has none; of several servers one makes it."""
        known = self.id()
        if known is not None:
            return known
        with suppress(AlreadyExistsError):
            self._create(f"{uuid.uuid4()}\n".encode())
        made = self.id()
        if made is None:
            raise StoreUnavailable(f"{self._url}/{STORE_ID} holds no id; remove it if it is not another program's")
        return made

    def is_empty(self) -> bool:
        """Whether it holds no blob."""
        with self.errors():
            return not any(is_key(entry["path"].rpartition("/")[2]) for page in self.bucket.list() for entry in page)

    def holds_any(self, keys: Iterable[str]) -> bool:
        """Whether it holds one of these blobs."""
        return any(self._holds(key) for key in keys if is_key(key))

    def _holds(self, key: str) -> bool:
        try:
            with self.errors():
                self.bucket.head(blob_path(key))
            return True
        except FileNotFoundError:
            return False

    def _create(self, data: bytes) -> None:
        with self.errors():
            self.bucket.put(STORE_ID, data, mode="create", attributes={"Content-Type": "text/plain"})
