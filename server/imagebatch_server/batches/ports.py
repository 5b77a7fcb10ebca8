"""What the core needs from the outside, as interfaces; `app` chooses the implementations."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from imagebatch.v1.enums import ItemErrorCode
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

    async def create(
        self, batch: NewBatch, items: Sequence[Item], objects: Sequence[StoredObject]
    ) -> tuple[Batch, Sequence[Item]]:
        """Store a batch whole, durably; answers it, and its items as `stage_items` would store them.

        Answers the batch that `request_id` already made with the same content, without items, if there is one.
        Raises RequestIdReused if it made another one, LimitExceeded if too many batches are running.
        """

    async def get(self, tenant: str, batch_id: str) -> Batch:
        """Read one batch. Raises BatchNotFound."""

    async def stage(self, batch: NewBatch) -> None:
        """Begin a batch whose items come in parts; nothing else sees it until `publish`, and it takes no request_id."""

    async def stage_items(self, batch: NewBatch, items: Sequence[Item], objects: Sequence[StoredObject]) -> None:
        """Store the next items of a staged batch.

        Those that repeat an earlier one of equal content_key are marked, and those that name an upload get the type
        that it was declared to have.
        """

    async def known_item_ids(self, tenant: str, batch_id: str, item_ids: Sequence[str]) -> Mapping[str, int]:
        """Of these item_ids those that the staged batch has already, with their index."""

    async def publish(self, batch: NewBatch, total_items: int) -> Batch:
        """Make a staged batch visible and take its request_id, in one transaction.

        Answers the batch that `request_id` made meanwhile, if one did with the same content. Raises RequestIdReused,
        LimitExceeded.
        """

    async def discard(self, tenant: str, batch_id: str) -> None:
        """Leave a batch that is still staged to be removed; one that was published is not touched."""

    async def discard_staged(self, owner: str) -> int:
        """Leave everything that `owner` has staged to be removed, when it starts anew; answers how many batches."""

    async def find_request(self, batch: NewBatch) -> Batch | None:
        """The batch that `request_id` already made with the same content. Raises RequestIdReused for other content."""

    async def list(self, tenant: str, match: BatchFilter, limit: int, before_batch_id: str | None) -> Sequence[Batch]:
        """Read batches that match, newest first, those older than `before_batch_id` only."""

    async def request_cancel(self, tenant: str, batch_id: str, at: datetime) -> Batch:
        """Set cancel_requested_at if the batch is running and it isn't set; answer the batch. Raises BatchNotFound."""

    async def retry(self, tenant: str, batch_id: str, error_codes: Sequence[ItemErrorCode]) -> tuple[Batch, bool]:
        """Reopen a failed or partially completed batch: failed items and those skipped by FAILURE_LIMIT, of these codes
        or all, lose their outcomes; counters go down, the epoch goes up, judging begins anew.

        Answers the batch and whether it was reopened; a running one, or one with nothing to retry, is left as it is.
        Raises BatchNotFound, BatchNotRetryable, LimitExceeded.
        """

    async def hide(self, tenant: str, batch_id: str) -> None:
        """Make a terminal batch invisible and free its request_id. Raises BatchNotFound, BatchNotTerminal."""

    async def expire(self, before: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """Hide batches that ended before a time; answers their tenants and ids."""

    async def remove_hidden(self, limit_rows: int) -> int:
        """Remove at most so many rows of hidden batches, in one transaction; answers how many, 0 when none is left."""

    async def take_over(self, owner: str) -> Sequence[Batch]:
        """Make `owner` the owner of every running batch, raising its epoch, and answer them in order of creation."""

    async def owned(self, owner: str) -> Sequence[Batch]:
        """Read the running batches of an owner, in order of creation."""

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

    async def exists(self, object_key: str) -> bool:
        """Whether there is a row of this key, whichever tenant's."""

    async def unreferenced(self, created_before: datetime, limit: int, after_key: str = "") -> Sequence[str]:
        """Keys of objects of that age that no item and no outcome refers to, in order, those after `after_key`.

        With the last of them as `after_key`, the next call goes on instead of looking at everything again.
        """

    async def remove(self, object_keys: Sequence[str]) -> Sequence[str]:
        """Remove the rows of those objects that are still unreferenced, in one transaction; answers their keys."""

    async def digests(self, tenant: str, object_keys: Sequence[str]) -> Mapping[str, str]:
        """SHA-256 of the objects that exist, by key."""


class Executor(Protocol):
    """Runs attempts, on processes of this machine or elsewhere, and reports to a `DispatchEvents`.

    It may have several lanes, for work of different kinds; one that is full holds up no other.
    """

    def lane(self, operation: str, parameters: bytes | None) -> str:
        """The lane in which a batch's attempts run."""

    def submit(self, dispatch: Dispatch) -> None:
        """Take one attempt; never blocks. Exactly one `finished` follows, unless the executor is stopped."""

    def forget(self, dispatch: Dispatch) -> None:
        """Drop an attempt that no child has begun; its `finished` does not come, a due `fetched` still does."""

    def room(self, lane: str) -> int:
        """How many more stored images a lane wants, to stay busy and no more."""

    def room_to_fetch(self, lane: str) -> int:
        """How many more images given by URL a lane wants to fetch ahead."""


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

    def written_before(self, at: datetime) -> AsyncGenerator[str, None]:
        """The keys of blobs that were written before a time. Raises StoreUnavailable."""

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
