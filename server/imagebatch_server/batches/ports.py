"""What the core needs from the outside, as interfaces; `app` chooses the implementations."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from imagebatch_server.batches.errors import ItemError, Violation
from imagebatch_server.batches.model import (
    AttemptResult,
    Batch,
    BatchFilter,
    BatchOptions,
    Dispatch,
    Item,
    ItemFilter,
    ItemResult,
    Outcome,
    StoredObject,
)


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch to be stored. `content_sha256` tells whether a repeated request_id asks for the same."""

    tenant: str
    batch_id: str
    options: BatchOptions
    created_at: datetime
    content_sha256: str


@dataclass(frozen=True, slots=True)
class BatchCommit:
    """What a recorder writes for one batch in one transaction."""

    tenant: str
    batch_id: str
    owner_epoch: int
    outcomes: Sequence[Outcome]
    started_at: datetime | None
    outcomes_per_s: float | None


class BatchStore(Protocol):
    """Batches and their items.

    Every method raises `StoreUnavailable` when the store can't be reached or can't write; nothing is half-written.
    """

    async def create(self, batch: NewBatch, items: Sequence[Item], objects: Sequence[StoredObject]) -> Batch:
        """Store a batch whole, durably. Answers the batch that `request_id` already made with the same content.

        Raises RequestIdReused if it made another one, LimitExceeded if too many batches are running.
        """

    async def get(self, tenant: str, batch_id: str) -> Batch:
        """Read one batch. Raises BatchNotFound."""

    async def find_request(self, batch: NewBatch) -> Batch | None:
        """The batch that `request_id` already made with the same content. Raises RequestIdReused for other content."""

    async def list(self, tenant: str, match: BatchFilter, limit: int, before_batch_id: str | None) -> Sequence[Batch]:
        """Read batches that match, newest first, those older than `before_batch_id` only."""

    async def request_cancel(self, tenant: str, batch_id: str, at: datetime) -> Batch:
        """Set cancel_requested_at if the batch is running and it isn't set; answer the batch. Raises BatchNotFound."""

    async def take_over(self, owner: str) -> Sequence[Batch]:
        """Make `owner` the owner of every running batch, raising its epoch, and answer them in order of creation."""

    async def pending_items(self, tenant: str, batch_id: str, after_index: int, limit: int) -> Sequence[Item]:
        """Read items without an outcome, in index order, from `after_index` (exclusive)."""

    async def items(self, tenant: str, batch_id: str, indexes: Sequence[int]) -> Sequence[Item]:
        """Read the items with these indexes, in index order."""


class OutcomeStore(Protocol):
    """Outcomes: written by the recorder only, read by pages and watchers."""

    async def record(self, commits: Sequence[BatchCommit], at: datetime, *, recheck: bool) -> Sequence[Batch | None]:
        """Commit outcomes of several batches in one durable transaction, numbering them in order.

        Answers each batch as committed, its terminal status set if this was its last outcome; the outcomes' sequences
        are the last ones up to its `last_sequence`. None stands for a batch that is no longer owned at this epoch:
        nothing of it was written. After an error it is unknown whether the transaction was committed: with `recheck`,
        outcomes that are there already are passed over. Raises StoreUnavailable.
        """

    async def page(
        self, tenant: str, batch_id: str, match: ItemFilter, offset: int, limit: int
    ) -> tuple[Batch, int, Sequence[ItemResult]]:
        """Read a page in index order, with the batch and the number of matches. Raises BatchNotFound."""

    async def after(self, tenant: str, batch_id: str, sequence: int, limit: int) -> Sequence[ItemResult]:
        """Read outcomes that follow `sequence`, in sequence order."""


class ObjectRows(Protocol):
    """The truth about which objects exist."""

    async def add(self, stored: StoredObject) -> None:
        """Insert a row, durably; its blob must be durable already."""

    async def get(self, tenant: str, object_key: str) -> StoredObject:
        """Read a row. Raises ObjectNotFound."""


class Executor(Protocol):
    """Runs attempts, on processes of this machine or elsewhere, and reports to a `DispatchEvents`."""

    def submit(self, dispatch: Dispatch) -> None:
        """Take one attempt; never blocks. Exactly one `finished` follows, unless the executor is stopped."""

    def forget(self, dispatch: Dispatch) -> None:
        """Drop an attempt that no child has begun; its `finished` does not come, a due `fetched` still does."""

    def room(self) -> int:
        """How many more stored images it wants, to stay busy and no more."""

    def room_to_fetch(self) -> int:
        """How many more images given by URL it wants to fetch ahead."""


class DispatchEvents(Protocol):
    """What an executor reports, on the event loop's thread."""

    def fetched(self, dispatch: Dispatch) -> None:
        """An image given by URL is here, or could not be got, or is not wanted any more: its host's slot is free."""

    def started(self, dispatch: Dispatch) -> None:
        """A child process began to work on the item."""

    def finished(self, result: AttemptResult) -> None:
        """The attempt came to an end."""

    def room_changed(self) -> None:
        """There may be more room although no attempt has ended."""


class OperationDirectory(Protocol):
    """Which operations there are."""

    def names(self) -> Sequence[str]:
        """All names, sorted."""

    def violations(self, operation: str, parameters: bytes | None) -> Sequence[Violation]:
        """What a known operation finds wrong with its parameters, as paths under `options.parameters`."""


class BlobWriter(Protocol):
    """One blob that is being written. Leaving its block commits it durably; leaving by an exception removes it."""

    size_bytes: int
    head: bytes

    @property
    def sha256(self) -> str:
        """Of what was written so far."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None: ...

    async def write(self, chunk: bytes) -> None:
        """Append bytes. Raises StoreUnavailable."""


class BlobStore(Protocol):
    """Where images' bytes are kept. A blob is durable when a write returns."""

    def new_key(self, tenant: str) -> str:
        """Make an object key, opaque and unique."""

    async def put(self, key: str, data: bytes) -> None:
        """Write one blob durably. Raises StoreUnavailable."""

    async def put_many(self, blobs: Sequence[tuple[str, bytes]]) -> None:
        """Write several blobs durably. Raises StoreUnavailable, with none of them left behind."""

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        """Read a blob whole. Raises ItemError with OBJECT_NOT_FOUND or TOO_LARGE."""

    async def get_many(
        self, keys: Sequence[str], *, max_bytes: int, max_total_bytes: int
    ) -> Sequence[bytes | ItemError]:
        """Read blobs whole, in order; an ItemError, OBJECT_NOT_FOUND or TOO_LARGE, stands for one that can't be read.

        Answers fewer, but at least one, once they hold `max_total_bytes`. Raises StoreUnavailable.
        """

    def writer(self, key: str) -> BlobWriter:
        """Write one blob in chunks."""

    def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read a blob in chunks. Raises ObjectNotFound, also when it goes while it is read."""

    async def delete(self, key: str) -> None:
        """Remove a blob; none is no error."""

    def url(self, key: str) -> str | None:
        """A URL under which the blob can be read, if the store can make one."""
