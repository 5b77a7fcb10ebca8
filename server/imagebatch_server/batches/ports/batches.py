"""What the core needs of a store of batches and their outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from imagebatch_server.batches.failure_clusters import ClusterKey
from imagebatch_server.batches.model import (
    Batch,
    BatchChange,
    BatchFilter,
    BatchOptions,
    ClusterPosition,
    FailureCluster,
    Item,
    ItemFilter,
    ItemResult,
    Outcome,
    RetryRequest,
    StoredObject,
    Waiting,
)
from imagebatch_server.batches.rate import Speed


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch to be stored. `content_sha256` tells whether a repeated request_id asks for the same."""

    tenant: str
    batch_id: str
    options: BatchOptions
    created_at: datetime
    content_sha256: str
    traceparent: str | None = None
    """The trace that its submit belongs to, and its items do."""


@dataclass(frozen=True, slots=True)
class BatchCommit:
    """What a recorder writes for one batch in one transaction."""

    tenant: str
    batch_id: str
    owner_epoch: int
    outcomes: Sequence[Outcome]
    started_at: datetime | None
    speed: Speed | None
    objects: Sequence[StoredObject] = ()
    """Rows of the objects that the outcomes name."""
    failures: Mapping[int, ClusterKey] = field(default_factory=dict)
    """By index, the clusters of the outcomes that are FAILED."""


class WaitingChange(NamedTuple):
    """What a batch waits for now, of which another epoch's owner knows more."""

    tenant: str
    batch_id: str
    owner_epoch: int
    waiting: Waiting | None


class BatchStore(Protocol):
    """Batches and their items.

    Every method raises `StoreUnavailable` when the store can't be reached or can't write; nothing is half-written.
    """

    async def create(
        self, batch: NewBatch, items: Sequence[Item], objects: Sequence[StoredObject]
    ) -> tuple[Batch, Sequence[Item]]:
        """Store a batch whole, durably; answers it, and its items as `stage_items` would store them.

        Answers the batch that `request_id` already made with the same content, without items, if there is one.
        Raises RequestIdReused if it made another one, LimitExceeded if the tenant has as much as it may, TenantDeleted.
        """

    async def get(self, tenant: str, batch_id: str) -> Batch:
        """Read one batch. Raises BatchNotFound."""

    async def stage(self, batch: NewBatch) -> None:
        """Begin a batch whose items come in parts; nothing else sees it until `publish`, and it takes no request_id.

        Raises TenantDeleted.
        """

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
        LimitExceeded, TenantDeleted.
        """

    async def discard(self, tenant: str, batch_id: str) -> None:
        """Leave a batch that is still staged to be removed; one that was published is not touched."""

    async def discard_staged(self) -> int:
        """Leave what servers had staged that don't live any more to be removed; answers how many batches."""

    async def find_request(self, batch: NewBatch) -> Batch | None:
        """Find the batch that `request_id` made with the same content. Raises RequestIdReused for other content."""

    async def list(self, tenant: str, match: BatchFilter, limit: int, before_batch_id: str | None) -> Sequence[Batch]:
        """Read batches that match, newest first, those older than `before_batch_id` only."""

    async def request_cancel(self, tenant: str, batch_id: str, at: datetime) -> Batch:
        """Set cancel_requested_at if the batch is running and it isn't set, which ends a pause; answer the batch.

        Raises BatchNotFound.
        """

    async def pause(self, tenant: str, batch_id: str, at: datetime) -> Batch:
        """Set paused_at unless it is set or the batch is being cancelled. Raises BatchNotFound, BatchTerminal."""

    async def resume(self, tenant: str, batch_id: str) -> Batch:
        """Clear paused_at. Raises BatchNotFound, BatchTerminal."""

    async def update(self, tenant: str, batch_id: str, change: BatchChange) -> Batch:
        """Set options of a running batch. Raises BatchNotFound, BatchTerminal."""

    async def retry(self, tenant: str, batch_id: str, request: RetryRequest, at: datetime) -> tuple[Batch, bool]:
        """Reopen a failed or partially completed batch.

        The chosen ones of the failed items and of those skipped by FAILURE_LIMIT lose their outcomes; counters go down,
        the epoch goes up, judging begins anew.

        Answers the batch and whether it was reopened; a running one, or one with nothing to retry, is left as it is,
        and so is one that was answered for the same `request_id` in the last 24 hours. Raises BatchNotFound,
        BatchNotRetryable, LimitExceeded, and RequestIdReused if that retry asked for something else.
        """

    async def hide(self, tenant: str, batch_id: str) -> None:
        """Make a terminal batch invisible and free its request_id. Raises BatchNotFound, BatchNotTerminal."""

    async def expire(self, before: datetime, limit: int) -> Sequence[tuple[str, str]]:
        """Hide batches that ended before a time; answers their tenants and ids."""

    async def remove_hidden(self, limit_rows: int) -> int:
        """Remove at most so many rows of hidden batches, in one transaction; answers how many, 0 when none is left."""

    async def give_back_space(self) -> int:
        """Give some of the space that removed rows left back to the system; answers how many bytes, 0 when none is."""

    async def take_over(self, operations: Sequence[str]) -> Sequence[Batch]:
        """Make this server the owner of running batches whose owners don't live, raising their epochs.

        Answers these batches in order of creation; so many at a time that others can take some, none when none is left.
        Those of operations that are not among these stay as they are, unless they only have to be skipped.
        """

    async def give(self, tenant: str, batch_id: str, owner_epoch: int, owner: str) -> None:
        """Make another server, or NOBODY, the owner of a batch that is still owned at this epoch, raising the epoch."""

    async def set_waiting(self, changes: Sequence[WaitingChange]) -> None:
        """Write why batches wait that are running and still owned at this epoch."""

    async def running(self) -> Sequence[Batch]:
        """Read the running batches, whoever owns them, in order of creation."""

    async def owned(self) -> Mapping[tuple[str, str], int]:
        """Read the epochs of the running batches that this server owns, by tenant and id."""

    async def pending_items(self, tenant: str, batch_id: str, after_index: int, limit: int) -> Sequence[Item]:
        """Read items without an outcome, in index order, from `after_index` (exclusive)."""

    async def failure_clusters(
        self, tenant: str, batch_id: str, limit: int, after: ClusterPosition | None
    ) -> Sequence[FailureCluster]:
        """Read a batch's clusters of failures, largest first, those behind a position only. Raises BatchNotFound."""

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

    async def news(self, tenant: str, batch_id: str, sequence: int, limit: int) -> tuple[Batch, Sequence[ItemResult]]:
        """Read a batch and, on the same snapshot, what `after` answers. Raises BatchNotFound."""
