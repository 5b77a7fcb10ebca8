"""The only writer of outcomes.

It takes whatever arrived while the previous transaction was committing into one transaction, and while more is about to
come it lets some time go by between two transactions: an idle server commits at once, a busy one groups.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import structlog

from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.batches.model import Batch, Item, ItemResult, Outcome
from imagebatch_server.batches.ports import BatchCommit, OutcomeStore

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
    """Hears what was committed, on the event loop's thread, in commit order."""

    def committed(self, batch: Batch, outcomes: Sequence[Outcome], results: Sequence[ItemResult] | None) -> None:
        """These outcomes are durable; `results` is None where their sequences must be read from the store."""

    def lost(self, batch_id: str, owner_epoch: int) -> None:
        """The batch is not ours at this epoch any more; none of its outcomes was written."""


class Rate:
    """Outcomes a second over the last minute."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._counts: deque[tuple[float, int]] = deque()
        self._in_window = 0
        self._total = 0

    def add(self, count: int) -> float | None:
        """Count outcomes; answer the rate, or None while there are too few."""
        now = time.monotonic()
        self._counts.append((now, count))
        self._in_window += count
        self._total += count
        while now - self._counts[0][0] > lifecycle.RATE_WINDOW_S:
            self._in_window -= self._counts.popleft()[1]
        if self._total < lifecycle.OUTCOMES_FOR_ESTIMATE:
            return None
        elapsed_s = min(now - self._started, lifecycle.RATE_WINDOW_S)
        return self._in_window / max(elapsed_s, 0.001)


@dataclass(slots=True)
class _Queue:
    """What waits to be written for one batch."""

    tenant: str
    batch_id: str
    owner_epoch: int
    rate: Rate
    started_at: datetime | None = None
    outcomes: deque[tuple[Item, Outcome]] = field(default_factory=deque)


class Recorder:
    """Commits outcomes in groups and tells its listeners. A store that is away is waited for, outcomes in hand.

    What waits is bounded by those who add: the scheduler counts an item as in flight until its outcome is committed.
    """

    def __init__(self, store: OutcomeStore, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._now = now
        self._listeners: list[CommitListener] = []
        self._queues: dict[str, _Queue] = {}
        self._rates: dict[str, Rate] = {}
        self._wake = asyncio.Event()
        self._next_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def listen(self, listener: CommitListener) -> None:
        """Add a listener; listeners are called in the order of their adding."""
        self._listeners.append(listener)

    def start(self, batch: Batch) -> None:
        """The batch's first item was dispatched now; written with its first outcome, or after `PACE_S` without one."""
        self._queue(batch).started_at = self._now()
        self._idle.clear()
        self._wake_in(PACE_S)

    def add(self, batch: Batch, item: Item, outcome: Outcome, *, can_wait: bool) -> None:
        """Take one outcome to be written: as soon as can be, or within `PACE_S` if it can wait for others."""
        self._queue(batch).outcomes.append((item, outcome))
        self._idle.clear()
        self._wake_in(self._next_at - asyncio.get_running_loop().time() if can_wait else 0)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._next_at = asyncio.get_running_loop().time() + PACE_S
            if self._queues:
                await self._commit(self._take())
            if not self._queues:
                self._idle.set()

    async def drained(self) -> None:
        """Wait until everything taken so far is written."""
        self._wake.set()
        await self._idle.wait()

    def _wake_in(self, wait_s: float) -> None:
        if wait_s <= 0:
            self._wake.set()
            return
        at = asyncio.get_running_loop().time() + wait_s
        if self._timer is not None and self._timer.when() > at:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(at, self._wake.set)

    def _queue(self, batch: Batch) -> _Queue:
        queue = self._queues.get(batch.batch_id)
        if queue is None or queue.owner_epoch != batch.owner_epoch:
            rate = self._rates.setdefault(batch.batch_id, Rate())
            queue = _Queue(batch.tenant, batch.batch_id, batch.owner_epoch, rate)
            self._queues[batch.batch_id] = queue
        return queue

    def _take(self) -> list[_Queue]:
        taken = []
        for queue in list(self._queues.values()):
            if len(queue.outcomes) <= MAX_ROWS_A_BATCH:
                del self._queues[queue.batch_id]
                taken.append(queue)
                continue
            part = deque(queue.outcomes.popleft() for _ in range(MAX_ROWS_A_BATCH))
            taken.append(_Queue(queue.tenant, queue.batch_id, queue.owner_epoch, queue.rate, queue.started_at, part))
            queue.started_at = None
            self._wake.set()  # for the rest
        return taken

    async def _commit(self, taken: list[_Queue]) -> None:
        commits = [
            BatchCommit(
                tenant=queue.tenant,
                batch_id=queue.batch_id,
                owner_epoch=queue.owner_epoch,
                outcomes=[outcome for _, outcome in queue.outcomes],
                started_at=queue.started_at,
                outcomes_per_s=queue.rate.add(len(queue.outcomes)),
            )
            for queue in taken
        ]
        at, batches, sequences_known = await self._record(commits)
        for queue, batch in zip(taken, batches, strict=True):
            self._tell(queue, batch, at, sequences_known=sequences_known)

    async def _record(self, commits: Sequence[BatchCommit]) -> tuple[datetime, Sequence[Batch | None], bool]:
        recheck = False
        delay_s = RETRY_FIRST_S
        while True:
            at = self._now()
            try:
                return at, await self._store.record(commits, at, recheck=recheck), not recheck
            except StoreUnavailable as error:
                waiting = sum(len(commit.outcomes) for commit in commits)
                log.warning("outcomes wait for the store", outcomes=waiting, why=str(error))
            except Exception:
                log.exception("outcomes could not be written; trying again")
            recheck = True  # the transaction may have been committed although its answer was lost
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, RETRY_MOST_S)

    def _tell(self, queue: _Queue, batch: Batch | None, at: datetime, *, sequences_known: bool) -> None:
        if batch is None:
            self._rates.pop(queue.batch_id, None)
            for listener in self._listeners:
                listener.lost(queue.batch_id, queue.owner_epoch)
            return
        if lifecycle.is_terminal(batch.status):
            self._rates.pop(queue.batch_id, None)
        results = None
        if sequences_known:
            first = batch.last_sequence - len(queue.outcomes) + 1
            results = [
                _result(batch.batch_id, item, outcome, sequence, at)
                for sequence, (item, outcome) in enumerate(queue.outcomes, start=first)
            ]
        outcomes = [outcome for _, outcome in queue.outcomes]
        for listener in self._listeners:
            try:
                listener.committed(batch, outcomes, results)
            except Exception:  # one that fails must not end the recording of everybody's outcomes
                log.exception("news of a commit was lost", batch_id=batch.batch_id)


def _result(batch_id: str, item: Item, outcome: Outcome, sequence: int, at: datetime) -> ItemResult:
    return ItemResult(
        batch_id=batch_id,
        item=item,
        status=outcome.status,
        error_code=outcome.error_code,
        error_message=outcome.error_message,
        output_data=outcome.output_data,
        processing_time_ms=outcome.processing_time_ms,
        attempts=outcome.attempts,
        image_sha256=outcome.image_sha256,
        stored_object_key=None if outcome.stored_object is None else outcome.stored_object.object_key,
        duplicate_of_index=outcome.duplicate_of_index,
        sequence=sequence,
        completed_at=at,
    )
