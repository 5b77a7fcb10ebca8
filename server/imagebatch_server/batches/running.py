"""What the scheduler remembers of one batch that it runs: bounded, in memory, lost without harm."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.model import Batch, Dispatch, Item, Outcome

FIRST_READ = 64
LARGEST_READ = 512
"""Items of one read. Reads grow as the batch is served, so that a thousand waiting batches stay small."""

MAX_SET_ASIDE = 1_000
"""Items of a batch that may wait for their host or for another attempt; past it the batch waits for them."""


@dataclass(slots=True)
class Flight:
    """An outstanding dispatch. `estimated_ms` was charged for it in advance."""

    dispatch: Dispatch
    estimated_ms: float
    started: bool = False


class RunningBatch:
    """One batch being run.

    An item is in exactly one place: not read yet, in the window, set aside (its index only), in flight, unrecorded, or
    recorded.
    """

    def __init__(self, batch: Batch, first_items: Sequence[Item], lane: str = "") -> None:
        self.batch = batch
        self.lane = lane
        """The executor's lane in which its items run."""
        self.window: deque[Item] = deque(first_items)
        self.flights: dict[int, Flight] = {}
        self.unrecorded: set[int] = set()
        self.attempts: dict[int, int] = {}
        self.set_aside = 0
        self.stuck = False
        """Whether the next item can't even be set aside."""
        self.has_started = batch.started_at is not None
        self.closed = False
        """Whether nothing more is dispatched: it was cancelled, has ended or was lost."""
        self.turn = 0.0
        """The pass of stride scheduling: the lowest goes next."""
        self.in_turns = False
        self.cursor = first_items[-1].item_index if first_items else -1
        self.successful = batch.successful_items - batch.judged_from_successful
        self.failed = batch.failed_items - batch.judged_from_failed
        """Items that ended since the submit or the last retry, on their way to the store included."""
        self.canary: set[int] = set()
        """Items that must have an outcome before any other is drawn."""
        self._without_outcome = batch.total_items - batch.processed_items
        self._exhausted = len(first_items) == batch.total_items
        self._reading = False
        self._read_size = FIRST_READ
        self._all_recorded = asyncio.Event()
        self._all_recorded.set()

    def begin_read(self) -> int | None:
        """How many items to read after `cursor` now; None if there are enough at hand, or no more."""
        if self.closed or self._exhausted or self._reading or self.canary:
            return None
        if len(self.window) > self._read_size // 2:
            return None
        self._reading = True
        return self._read_size

    def end_read(self, items: Sequence[Item]) -> None:
        """Take what was read."""
        self._reading = False
        self._exhausted = len(items) < self._read_size
        self._read_size = min(2 * self._read_size, LARGEST_READ)
        if items:
            self.cursor = items[-1].item_index
            self.window.extend(items)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the batch is left to do here."""
        if self.flights or self.unrecorded:
            return False
        return self.closed or (self._exhausted and not self.window and not self.set_aside)

    def begin_with(self, items: Sequence[Item]) -> None:
        """Let these run before all others."""
        self.canary = {item.item_index for item in items}
        self.window.extend(items)

    def put_aside(self) -> None:
        """One item waits for its host or for another attempt."""
        self.set_aside += 1

    def bring_back(self, items: Sequence[Item]) -> None:
        """Items that were set aside come first."""
        self.set_aside -= len(items)
        self.stuck = False
        self.window.extendleft(reversed(items))

    def flight_of(self, dispatch: Dispatch) -> Flight | None:
        """The flight that this very dispatch began, if it is still outstanding."""
        flight = self.flights.get(dispatch.item.item_index)
        return flight if flight is not None and flight.dispatch is dispatch else None

    def started_indexes(self) -> frozenset[int]:
        """Items that a worker is busy with."""
        return frozenset(index for index, flight in self.flights.items() if flight.started)

    def unstarted(self) -> Sequence[Flight]:
        """Flights that no worker has begun."""
        return [flight for flight in self.flights.values() if not flight.started]

    def close(self) -> None:
        """Dispatch nothing more of what is at hand."""
        self.closed = True
        self.window.clear()

    @property
    def canary_due(self) -> int:
        """How many items must still run before all others."""
        return max((self.batch.options.canary or 0) - self.successful - self.failed, 0)

    def is_past_failure_limit(self) -> bool:
        """Whether the rest is to be skipped."""
        return lifecycle.is_past_failure_limit(self.batch.options, self.successful, self.failed)

    def hand_over(self, outcome: Outcome) -> None:
        """An outcome went to the recorder."""
        self.attempts.pop(outcome.item_index, None)
        self.unrecorded.add(outcome.item_index)
        self.successful += outcome.status is BatchItemStatus.SUCCESS
        self.failed += outcome.status is BatchItemStatus.FAILED
        self._all_recorded.clear()

    @property
    def queued(self) -> int:
        """Items that are neither in flight nor on their way to the store nor there."""
        return self._without_outcome - len(self.flights) - len(self.unrecorded)

    def recorded(self, batch: Batch, indexes: Iterable[int]) -> None:
        """Outcomes were committed, and the batch stands like this now."""
        self._without_outcome = batch.total_items - batch.processed_items
        recorded = set(indexes)
        self.unrecorded -= recorded
        self.canary -= recorded
        if not self.unrecorded:
            self._all_recorded.set()

    async def all_recorded(self) -> None:
        """Wait until no outcome waits for the recorder."""
        await self._all_recorded.wait()
