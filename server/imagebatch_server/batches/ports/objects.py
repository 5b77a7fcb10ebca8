"""What the core needs of stores of images, their rows and their URLs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from imagebatch_server.batches.errors import ItemError
from imagebatch_server.batches.model import BlobName, SigningKey, StoredObject, UploadUrl


class ObjectRows(Protocol):
    """The truth about which objects exist."""

    async def add(self, stored: StoredObject) -> None:
        """Insert a row, durably; its blob must be durable already.

        Raises LimitExceeded if its tenant may not store so much, TenantDeleted.
        """

    async def stored_bytes(self, tenant: str) -> int:
        """Tell how many bytes are stored for a tenant, or promised to be."""

    async def get(self, tenant: str, object_key: str) -> StoredObject:
        """Read a row. Raises ObjectNotFound."""

    async def expect(self, stored: StoredObject, until: datetime) -> None:
        """Insert the row of an object whose blob is to come until then; `get` does not find it, and it may be named.

        Its `size_bytes` is what is to come.
        """

    async def expected(self, tenant: str, object_key: str) -> StoredObject | None:
        """Read the row of an object whose blob is still to come; None if it has come. Raises ObjectNotFound."""

    async def complete(self, stored: StoredObject) -> bool:
        """Give an expected object its digest and its time, durably; False if it is complete, or gone."""

    async def reuse(self, tenant: str, sha256: str, content_type: str, at: datetime) -> StoredObject | None:
        """Find the object of this content, the same one each time, and let its age count from `at`.

        None if there is none.
        """

    async def known(self, object_keys: Sequence[str]) -> Collection[str]:
        """Those of these keys that have a row, whichever tenant's."""

    async def keys(self, after_key: str, limit: int) -> Sequence[str]:
        """List the next keys of objects in order, those after `after_key`."""

    async def unreferenced(self, created_before: datetime, limit: int, after_key: str = "") -> Sequence[str]:
        """Keys of objects of that age that no item and no outcome refers to, in order, those after `after_key`.

        With the last of them as `after_key`, the next call goes on instead of looking at everything again.
        """

    async def remove(self, object_keys: Sequence[str], created_before: datetime) -> Sequence[str]:
        """Remove the rows of those objects that are still of that age and unreferenced, in one transaction.

        Answers their keys, which `removed` lists from then on.
        """

    async def removed(self, limit: int) -> Sequence[str]:
        """List keys of objects whose rows were removed and whose blobs may be there still."""

    async def forget_removed(self, object_keys: Sequence[str]) -> None:
        """Note that the blobs of these are gone."""

    async def digests(self, tenant: str, object_keys: Sequence[str]) -> Mapping[str, str]:
        """SHA-256 of the objects that exist, by key."""


class SigningKeys(Protocol):
    """The keys that URLs are signed with, the same for all servers. Every method raises StoreUnavailable."""

    async def read(self) -> Sequence[SigningKey]:
        """All of them, by number."""

    async def add(self, key: SigningKey) -> None:
        """Add a key, unless there is one of its number."""

    async def remove(self, numbers: Sequence[int]) -> None:
        """Remove keys; none is no error."""


class ImageUrls(Protocol):
    """The URLs at which callers read stored images."""

    @property
    def kept_s(self) -> float:
        """How long a message that holds such URLs may be kept for other readers (seconds)."""

    def url(self, tenant: str, object_key: str) -> str | None:
        """Make the URL of a tenant's object, which need not exist; None for what is no key."""


class UploadUrls(Protocol):
    """The URLs to which callers upload images."""

    def upload_url(self, tenant: str, object_key: str, content_type: str, size_bytes: int) -> UploadUrl:
        """Make the URL to which an object of this type and size can be uploaded, once."""


class Arrivals(UploadUrls, Protocol):
    """Images that callers upload to the object store by themselves. Every method raises StoreUnavailable."""

    async def size_bytes(self, object_key: str) -> int | None:
        """Tell how much has come to the URL; None for nothing."""

    def read(self, object_key: str) -> AsyncGenerator[bytes, None]:
        """Read what has come."""

    async def forget(self, object_key: str) -> None:
        """Remove what has come."""


TakeIn = Callable[[Iterable[BlobName]], Awaitable[bool]]
"""Takes in those images that have come and were not yet; whether there was one. Raises StoreUnavailable."""


class BlobWriter(Protocol):
    """One blob that is being written. Leaving its block commits it durably; leaving by an exception removes it.

    Leaving raises ObjectExists if the key was written meanwhile, and StoreUnavailable.
    """

    size_bytes: int
    """Written so far."""
    head: bytes
    """The first `HEAD_BYTES` bytes."""

    @property
    def sha256(self) -> str:
        """Of what was written so far."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None: ...

    async def write(self, chunk: bytes) -> None:
        """Append bytes. Raises StoreUnavailable."""


@dataclass(frozen=True, slots=True)
class NewBlob:
    """A blob to be written. `content_type` is what its sender says of it, and a store may keep it for its own URLs."""

    key: str
    data: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob that is there."""

    key: str
    since: datetime


class ObjectStorePlace(Protocol):
    """Where an object store is, before anything is stored in it.

    Its text is what an operator calls it. Every method raises StoreUnavailable.
    """

    def id(self) -> str | None:
        """Its id; None if it has none."""

    def make_id(self) -> str:
        """Answer its id, after giving it one durably if it has none."""

    def is_empty(self) -> bool:
        """Whether it holds no blob."""

    def holds_any(self, keys: Iterable[str]) -> bool:
        """Whether it holds one of these blobs."""


class BlobReader(Protocol):
    """Where images' bytes are read."""

    async def get_many(
        self, names: Sequence[BlobName], *, max_bytes: int, max_total_bytes: int
    ) -> Sequence[bytes | ItemError]:
        """Read blobs whole, in order; an ItemError, OBJECT_NOT_FOUND or TOO_LARGE, stands for one that can't be read.

        Another tenant's is as one that is not there. Answers fewer, but at least one, once they hold
        `max_total_bytes`. Raises StoreUnavailable.
        """


class BlobStore(BlobReader, Protocol):
    """Where images' bytes are kept. A blob is durable when a write returns, and is never written again."""

    def new_key(self, tenant: str) -> str:
        """Make an object key, opaque and unique."""

    async def put_many(self, blobs: Sequence[NewBlob]) -> None:
        """Write several blobs durably. Raises ObjectExists, and StoreUnavailable, with none of them left behind."""

    def writer(self, key: str, content_type: str) -> BlobWriter:
        """Write one blob in chunks."""

    def read(self, name: BlobName, start_bytes: int = 0) -> AsyncGenerator[bytes, None]:
        """Read a blob in chunks, from a place on. Raises ObjectNotFound, also when it goes while it is read."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove blobs; none is no error. Raises StoreUnavailable."""

    def url(self, name: BlobName) -> str | None:
        """Make a URL under which the blob can be read, if the store can; it need not exist."""

    async def close(self) -> None:
        """Wait for what is being written, and let go of threads and connections."""


class BucketImages(Protocol):
    """Images in buckets that are not the service's own."""

    def write_problem(self, tenant: str, prefix: str) -> str | None:
        """Say why the tenant may not have images written below the URL of a prefix; None if it may."""

    async def write(self, tenant: str, prefix: str, name: str, data: bytes, content_type: str) -> None:
        """Write an image below a prefix, over one of that name. Raises ItemError with PROVIDER_ERROR."""

    async def read(self, tenant: str, url: str, admit: Callable[[int], Awaitable[None]]) -> tuple[bytes, str | None]:
        """Read an image that the tenant may read, and the type that its bucket calls it.

        `admit` is given its size (bytes), and returns when there is room for it. Raises ItemError: FETCH_FORBIDDEN for
        whatever is not open to the tenant, FETCH_FAILED, TOO_LARGE.
        """


class SweptBlobStore(BlobStore, Protocol):
    """What the server needs beyond that, to tidy: to see what is there, and to set blobs aside."""

    @property
    def most_looked_for(self) -> int:
        """How many blobs may be looked for by `missing` in one sweep."""

    async def sweep_temporary(self) -> int:
        """Remove what killed writers left, before any writer starts; answers of how many. Raises StoreUnavailable."""

    def listing(self) -> AsyncGenerator[Sequence[StoredBlob], None]:
        """List blobs and since when they were written, some at a time: all, or each time the next part of all.

        Raises StoreUnavailable.
        """

    async def missing(self, keys: Sequence[str]) -> Sequence[str]:
        """Those of these keys that have no blob. Raises StoreUnavailable."""

    async def quarantine(self, keys: Sequence[str]) -> None:
        """Set blobs aside, where only `put_back` finds them again; none is no error. Raises StoreUnavailable."""

    def quarantined(self) -> AsyncGenerator[Sequence[StoredBlob], None]:
        """List the blobs that are set aside, and since when, some at a time. Raises StoreUnavailable."""

    async def put_back(self, keys: Sequence[str]) -> None:
        """Take blobs out of quarantine. Raises StoreUnavailable."""

    async def discard(self, keys: Sequence[str]) -> None:
        """Remove blobs that are in quarantine; none is no error. Raises StoreUnavailable."""
