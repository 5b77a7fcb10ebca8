"""The only writer of outcomes.

It takes whatever arrived while the previous transaction was committing into one transaction, and while more is about to
come it lets some time go by between two transactions: an idle server commits at once, a busy one groups.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

import structlog

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.backoff import Backoff
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.batches.failure_clusters import cluster_of
from imagebatch_server.batches.model import Batch, Item, ItemResult, Outcome, StoredObject
from imagebatch_server.batches.ports.batches import BatchCommit, OutcomeStore
from imagebatch_server.batches.ports.servers import Servers
from imagebatch_server.batches.rate import Rate, Speed

log = structlog.get_logger(__name__)

MAX_ROWS_A_BATCH = 1_000
"""Outcomes of one batch in one transaction, so that a large cancellation takes turns with other batches' outcomes."""

PACE_S = 0.1
"""From the begin of one transaction to that of the next, while all that waits is about to be followed by more.

An outcome that is committed and sent alone takes 3 ms of processor time beside busy workers, and several together
hardly more: at a hundred images a second that is a seventh of two cores. After PostgreSQL's commit_delay.
"""

RETRY_FIRST_S = 0.05
RETRY_MOST_S = 2.0


class CommitListener(Protocol):
    """Hear what was committed, on the event loop's thread, in commit order."""

    def committed(self, batch: Batch, outcomes: Sequence[Outcome], results: Sequence[ItemResult] | None) -> None:
        """Hear of outcomes that are durable; `results` is None where their sequences must be read from the store."""

    def lost(self, batch_id: str, owner_epoch: int) -> None:
        """Hear that the batch is not ours at this epoch any more; none of its outcomes was written."""


_Entry = tuple[Item, Outcome, Sequence[StoredObject]]


@dataclass(slots=True)
class _Queue:
    """What waits to be written for one batch."""

    tenant: str
    batch_id: str
    owner_epoch: int
    started_at: datetime | None = None
    speed: Speed | None = None
    entries: deque[_Entry] = field(default_factory=deque)
    is_replaced: bool = False
    """Whether its one outcome stands in the place of one that was refused."""

    def part(self, entries: Iterable[_Entry]) -> _Queue:
        """Answer a queue with some of the entries."""
        return replace(self, entries=deque(entries))

    def commit(self) -> BatchCommit:
        """Answer what the store is to write."""
        return BatchCommit(
            tenant=self.tenant,
            batch_id=self.batch_id,
            owner_epoch=self.owner_epoch,
            outcomes=[outcome for _, outcome, _ in self.entries],
            objects=[stored for _, _, objects in self.entries for stored in objects],
            started_at=self.started_at,
            speed=self.speed,
            failures={
                outcome.item_index: cluster_of(item, outcome)
                for item, outcome, _ in self.entries
                if outcome.status is BatchItemStatus.FAILED
            },
        )


class Recorder:
    """Commit outcomes in groups and tell its listeners. A store that is away is waited for, outcomes in hand.

    So is the lease, where there is one: what was taken over meanwhile, the store refuses then.

    A group that the store refuses is written in smaller ones, so that one outcome which no store takes holds up nothing
    but itself: its item fails with INTERNAL.

    What waits is bounded by those who add: the scheduler counts an item as in flight until its outcome is committed.
    """

    name = "recorder"

    def __init__(
        self, store: OutcomeStore, servers: Servers, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._servers = servers
        self._now = now
        self._listeners: list[CommitListener] = []
        self._queues: dict[str, _Queue] = {}
        self._rates: dict[str, Rate] = {}
        self._wake = asyncio.Event()
        self._next_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._store_is_away = False

    def listen(self, *listeners: CommitListener) -> None:
        """Add listeners; they are called in the order of their adding."""
        self._listeners.extend(listeners)

    @property
    def store_is_away(self) -> bool:
        """Whether the store takes no outcomes, and they are kept until it does."""
        return self._store_is_away

    def start(self, batch: Batch) -> None:
        """Note that a batch's first item was dispatched; written with its first outcome, or after `PACE_S`."""
        self._queue(batch).started_at = self._now()
        self._rates[batch.batch_id] = Rate(is_begun=True)
        self._idle.clear()
        self._wake_at(asyncio.get_running_loop().time() + PACE_S)

    def resume(self, batch_id: str) -> None:
        """Note that a batch goes on: how fast it was before its pause, and that it stood still, tells nothing."""
        self._rates[batch_id] = Rate(is_begun=True)

    def add(
        self, batch: Batch, item: Item, outcome: Outcome, objects: Sequence[StoredObject] = (), *, can_wait: bool
    ) -> None:
        """Take one outcome to be written, and the rows of the objects that it names.

        It is written as soon as can be, or within `PACE_S` if it can wait for others.
        """
        self._queue(batch).entries.append((item, outcome, objects))
        self._idle.clear()
        if can_wait:
            self._wake_at(self._next_at)
        else:
            self._wake.set()

    async def step(self) -> None:
        """Wait until something is due to be written, and write it."""
        await self._wake.wait()
        self._wake.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._next_at = asyncio.get_running_loop().time() + PACE_S
        if self._queues:
            await self._write(self._take())
        if not self._queues:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until everything taken so far is written."""
        self._wake.set()
        await self._idle.wait()

    def _wake_at(self, at: float) -> None:
        if self._wake.is_set() or (self._timer is not None and self._timer.when() <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        if at <= loop.time():
            self._wake.set()
        else:
            self._timer = loop.call_at(at, self._wake.set)

    def _queue(self, batch: Batch) -> _Queue:
        queue = self._queues.get(batch.batch_id)
        if queue is None or queue.owner_epoch != batch.owner_epoch:
            queue = _Queue(batch.tenant, batch.batch_id, batch.owner_epoch)
            self._queues[batch.batch_id] = queue
        return queue

    def _take(self) -> list[_Queue]:
        taken = []
        for queue in list(self._queues.values()):
            part = queue
            if len(queue.entries) <= MAX_ROWS_A_BATCH:
                del self._queues[queue.batch_id]
            else:
                part = queue.part(queue.entries.popleft() for _ in range(MAX_ROWS_A_BATCH))
                queue.started_at = None
                self._wake.set()  # for the rest
            if part.entries:
                part.speed = self._rates.setdefault(queue.batch_id, Rate()).add(len(part.entries))
            taken.append(part)
        return taken

    async def _write(self, taken: Sequence[_Queue]) -> None:
        """Write in one transaction, or in several if the store refuses that."""
        try:
            at, batches, sequences_known = await self._record([queue.commit() for queue in taken])
        except Exception as error:
            await self._write_apart(taken, error)
        else:
            for queue, batch in zip(taken, batches, strict=True):
                self._notify(queue, batch, at, sequences_known=sequences_known)

    async def _write_apart(self, refused: Sequence[_Queue], error: Exception) -> None:
        """Write batch by batch, then by halves of a batch, down to the outcome that is refused alone."""
        queue = refused[0]
        if len(refused) > 1:
            parts = refused
        elif len(queue.entries) > 1:
            entries, half = list(queue.entries), len(queue.entries) // 2
            parts = [queue.part(entries[:half]), queue.part(entries[half:])]
        elif queue.entries and not queue.is_replaced:
            item, outcome, _ = queue.entries[0]
            log.error(
                "recorder.outcome_refused", batch_id=queue.batch_id, item_index=outcome.item_index, why=_reason(error)
            )
            parts = [replace(queue.part([(item, _in_place_of(outcome), ())]), is_replaced=True)]
        else:
            # Not even that is taken, so it is the batch. Whoever looks after batches will try it again.
            log.error("recorder.batch_refused", batch_id=queue.batch_id, why=_reason(error))
            self._notify(queue, None, self._now(), sequences_known=False)
            return
        for part in parts:
            await self._write([part])

    async def _record(self, commits: Sequence[BatchCommit]) -> tuple[datetime, Sequence[Batch | None], bool]:
        recheck = False
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        while True:
            await self._servers.held()
            at = self._now()
            try:
                recorded = await self._store.record(commits, at, recheck=recheck)
            except StoreUnavailable as error:
                self._store_is_away = True
                waiting = sum(len(commit.outcomes) for commit in commits)
                log.warning("recorder.store_unavailable", outcomes=waiting, why=str(error))
            else:
                self._store_is_away = False
                return at, recorded, not recheck
            recheck = True  # the transaction may have been committed although its answer was lost
            await asyncio.sleep(backoff.next_s())

    def _notify(self, queue: _Queue, batch: Batch | None, at: datetime, *, sequences_known: bool) -> None:
        if batch is None:
            self._rates.pop(queue.batch_id, None)
            for listener in self._listeners:
                listener.lost(queue.batch_id, queue.owner_epoch)
            return
        if lifecycle.is_terminal(batch.status):
            self._rates.pop(queue.batch_id, None)
        results = None
        if sequences_known:
            first = batch.last_sequence - len(queue.entries) + 1
            results = [
                ItemResult(batch.batch_id, item, outcome, sequence, at)
                for sequence, (item, outcome, _) in enumerate(queue.entries, start=first)
            ]
        outcomes = [outcome for _, outcome, _ in queue.entries]
        for listener in self._listeners:
            try:
                listener.committed(batch, outcomes, results)
            except Exception:  # one that fails must not end the recording of everybody's outcomes
                log.exception("recorder.listener_failed", batch_id=batch.batch_id)


def _in_place_of(refused: Outcome) -> Outcome:
    """Make what is recorded of an item whose outcome is refused."""
    return Outcome(
        item_index=refused.item_index,
        status=BatchItemStatus.FAILED,
        error_code=ItemErrorCode.INTERNAL,
        error_message=(
            "the result of this item could not be stored, although others can be; the server's log says why, under "
            "recorder.outcome_refused"
        ),
        attempts=refused.attempts,
    )


def _reason(error: Exception) -> str:
    """Say what went wrong, without the statement and its parameters."""
    return f"{type(error).__name__}: {getattr(error, 'orig', error)}"
