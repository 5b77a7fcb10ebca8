"""What the scheduler remembers of one batch that it runs: bounded, in memory, lost without harm."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.model import Batch, Dispatch, Item, Outcome

FIRST_READ = 64
LARGEST_READ = 512
"""Items of one read. Reads grow as the batch is served, so that a thousand waiting batches stay small."""

MAX_SET_ASIDE = 1_000
"""Items of a batch that may wait for their host or for another attempt; past it the batch waits for them."""


class Charge(NamedTuple):
    """What a turn was charged for one item in advance (milliseconds), and where the tenant stood in its turn."""

    estimated_ms: float
    turn_ms: float


@dataclass(slots=True)
class Flight:
    """An outstanding dispatch. `estimated_ms` was charged for it in advance."""

    dispatch: Dispatch
    estimated_ms: float
    started: bool = False


class _Due(NamedTuple):
    """When an item comes back, and whether the attempt before did not count, because somebody had too much to do."""

    at: float
    was_put_off: bool


class Read(NamedTuple):
    """A read of the batch's next items."""

    after_index: int
    limit: int
    is_canary: bool = False
    """Whether so many are to be picked at random, and `after_index` says nothing."""
    known: frozenset[int] = frozenset()
    """Items that it may find and that are not unread: they were read before a pause, or are being recorded."""
    era: int = 0
    """The one in which it was begun; in another one what it finds is not wanted."""


class RunningBatch:
    """One batch being run.

    An item is in exactly one place: unread, at hand, set aside (its index only), in flight, unrecorded (its outcome is
    on the way to the store) or recorded. The methods here are all that move it:

        at hand     -> depart       -> in flight
        at hand     -> set_aside    -> set aside
        in flight   -> turn_back    -> set aside      after a failed attempt
        in flight   -> put_off      -> set aside      after one that does not count
        set aside   -> bring_back   -> at hand
        in flight   -> give_back    -> unread         while the batch is paused, or leaves
        anywhere    -> hand_over    -> unrecorded -> recorded

    `abandon` makes what is at hand or set aside unread again, for ever. So does `leave`, after which what is in flight
    becomes unread too if it needs another attempt; and so does `pause`, until `resume` has all that is unread read from
    the start.
    """

    def __init__(self, batch: Batch, first_items: Sequence[Item], lane: str = "") -> None:
        """`lane` is the executor's, in which the batch's items run."""
        self.batch = batch
        self.lane = lane
        self._at_hand: deque[Item] = deque(first_items)
        self._set_aside: set[int] = set()
        self._flights: dict[int, Flight] = {}
        self._unrecorded: set[int] = set()
        self._attempts: dict[int, int] = {}
        self._put_off: dict[int, tuple[float, int]] = {}
        self._due: dict[int, _Due] = {}
        self._has_departed = batch.started_at is not None
        self._is_stuck = False
        self._closed = False
        self._paused = batch.paused_at is not None
        self._leaving = False
        self._ended = False
        self._era = 0
        self._canary: set[int] = set()
        self._canary_was_picked = False
        # What ended since the submit or the last retry, on its way to the store included.
        self._successful = batch.successful_items - batch.judged_from_successful
        self._failed = batch.failed_items - batch.judged_from_failed
        self._without_outcome = batch.total_items - batch.processed_items
        self._last_read = first_items[-1].item_index if first_items else -1
        self._exhausted = len(first_items) == batch.total_items
        self._reading = False
        self._read_size = FIRST_READ
        self._all_ended = asyncio.Event()
        self._all_recorded = asyncio.Event()
        self._all_recorded.set()

    # Where the batch is.

    @property
    def next_item(self) -> Item | None:
        """The item at hand that goes next."""
        return self._at_hand[0] if self._at_hand else None

    @property
    def is_stuck(self) -> bool:
        """Whether the next item can't even be set aside."""
        return self._is_stuck

    @property
    def closed(self) -> bool:
        """Whether nothing more departs: the rest of the batch is skipped, or it has ended."""
        return self._closed

    @property
    def paused(self) -> bool:
        """Whether nothing departs until the batch is resumed."""
        return self._paused

    @property
    def era(self) -> int:
        """Another number after each pause, and once nothing more departs: what was being read before is not wanted."""
        return self._era

    @property
    def leaving(self) -> bool:
        """Whether the batch goes to another server once nothing of it is underway here."""
        return self._leaving

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to do: every outcome is recorded, or the batch was lost."""
        return self._ended

    @property
    def has_departed(self) -> bool:
        """Whether any item was ever dispatched."""
        return self._has_departed

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the batch is left to do here."""
        if self._flights or self._unrecorded:
            return False
        return self._closed or (self._exhausted and not self._at_hand and not self._set_aside)

    @property
    def queued(self) -> int:
        """Items that wait to be dispatched: none of a paused batch does."""
        return 0 if self._paused else self._without_outcome - len(self._flights) - len(self._unrecorded)

    @property
    def in_flight(self) -> int:
        """Attempts that were dispatched and have not ended."""
        return len(self._flights)

    @property
    def unrecorded(self) -> int:
        """Outcomes on their way to the store."""
        return len(self._unrecorded)

    @property
    def canary_due(self) -> int:
        """How many items must still run before all others."""
        return max((self.batch.options.canary or 0) - self._successful - self._failed, 0)

    @property
    def is_past_failure_limit(self) -> bool:
        """Whether the rest is to be skipped."""
        return lifecycle.is_past_failure_limit(self.batch.options, self._successful, self._failed)

    def attempts(self, item_index: int) -> int:
        """Count the attempts at an item without an outcome that have ended."""
        return self._attempts.get(item_index, 0)

    def put_offs(self, item_index: int) -> int:
        """Tell how often an item without an outcome was put off."""
        return self._put_off.get(item_index, (0.0, 0))[1]

    def put_off_since(self, item_index: int, now: float) -> float:
        """Tell when an item without an outcome was put off for the first time; now if it never was."""
        return self._put_off.get(item_index, (now, 0))[0]

    def flight_of(self, dispatch: Dispatch) -> Flight | None:
        """Find the flight that this very dispatch began, if it is still outstanding."""
        flight = self._flights.get(dispatch.item.item_index)
        return flight if flight is not None and flight.dispatch is dispatch else None

    @property
    def is_worked_on(self) -> bool:
        """Whether a worker is busy with an item, or one is being fetched or waits for a worker behind its own."""
        return any(flight.started or flight.dispatch.item.is_fetched for flight in self._flights.values())

    @property
    def next_due(self) -> float | None:
        """When the first item comes back of those that wait for a time; None if there is none."""
        return min((due.at for due in self._due.values()), default=None)

    @property
    def due_items(self) -> int:
        """Items that wait for a time."""
        return len(self._due)

    @property
    def awaits_provider(self) -> bool:
        """Whether an item waits for somebody, who is no host, that had too much to do for it."""
        return any(due.was_put_off for due in self._due.values())

    def dispatches(self) -> Sequence[Dispatch]:
        """List what is in flight."""
        return [flight.dispatch for flight in self._flights.values()]

    def started_indexes(self) -> frozenset[int]:
        """List the items that a worker is busy with."""
        return frozenset(index for index, flight in self._flights.items() if flight.started)

    def underway(self) -> frozenset[int]:
        """List the items that are in flight or whose outcome is on its way to the store."""
        return frozenset(self._flights.keys() | self._unrecorded)

    # Items come in.

    def begin_read(self) -> Read | None:
        """Begin the read that is due now; None if enough is at hand, or no more is left to read."""
        if self._closed or self._paused or self._exhausted or self._reading or self._canary:
            return None
        if len(self._at_hand) > self._read_size // 2:
            return None
        self._reading = True
        known = self.underway() | self._set_aside | {item.item_index for item in self._at_hand}
        if self.canary_due and not self._canary_was_picked:
            return Read(-1, self.canary_due, is_canary=True, known=known, era=self._era)
        return Read(self._last_read, self._read_size, known=known, era=self._era)

    def end_read(self, read: Read, items: Sequence[Item]) -> None:
        """Take what was read, in the era in which it was begun. Nothing is read beside a canary, which runs first."""
        self._reading = False
        unread = [item for item in items if item.item_index not in read.known]
        self._at_hand.extend(unread)
        if read.is_canary:
            self._canary_was_picked = True
            self._canary = {item.item_index for item in unread}
            return
        self._exhausted = len(items) < read.limit
        self._read_size = min(2 * self._read_size, LARGEST_READ)
        if items:
            self._last_read = items[-1].item_index

    # Items move.

    def depart(self, charge: Charge) -> Dispatch:
        """Dispatch the next item."""
        item = self._at_hand.popleft()
        dispatch = Dispatch(
            tenant=self.batch.tenant,
            batch_id=self.batch.batch_id,
            owner_epoch=self.batch.owner_epoch,
            attempt=self.attempts(item.item_index) + 1,
            item=item,
            operation=self.batch.options.operation,
            parameters=self.batch.options.parameters,
            timeout_s=self.batch.options.item_timeout_s,
            lane=self.lane,
            turn_ms=charge.turn_ms,
            output_prefix=self.batch.options.output_prefix,
            traceparent=self.batch.traceparent,
        )
        self._flights[item.item_index] = Flight(dispatch, charge.estimated_ms)
        self._has_departed = True
        return dispatch

    def set_aside(self) -> bool:
        """Let the next item wait for its host; False if too many wait already, and then the batch waits for them."""
        if len(self._set_aside) >= MAX_SET_ASIDE:
            self._is_stuck = True
            return False
        self._set_aside.add(self._at_hand.popleft().item_index)
        return True

    def start(self, dispatch: Dispatch) -> None:
        """Note that a worker began to work on a dispatch, if that is still outstanding."""
        flight = self.flight_of(dispatch)
        if flight is not None:
            flight.started = True

    def turn_back(self, dispatch: Dispatch) -> None:
        """Let the item of a flight wait for another attempt."""
        item_index = dispatch.item.item_index
        del self._flights[item_index]
        self._attempts[item_index] = dispatch.attempt
        self._set_aside.add(item_index)

    def give_back(self, dispatch: Dispatch, *, counts: bool) -> None:
        """Make the item of a flight unread; whether the attempt `counts`."""
        item_index = dispatch.item.item_index
        del self._flights[item_index]
        if counts:
            self._attempts[item_index] = dispatch.attempt
        self._look_for_end()

    def put_off(self, dispatch: Dispatch, now: float) -> None:
        """Let the item of a flight wait, because somebody was too busy for it: the attempt does not count."""
        item_index = dispatch.item.item_index
        del self._flights[item_index]
        self._put_off[item_index] = self.put_off_since(item_index, now), self.put_offs(item_index) + 1
        self._set_aside.add(item_index)

    def comes_back(self, item_index: int, at: float, *, was_put_off: bool) -> None:
        """Note when an item that was set aside will be brought back."""
        self._due[item_index] = _Due(at, was_put_off)

    def bring_back(self, items: Sequence[Item]) -> None:
        """Let items that were set aside go before all others."""
        for item in items:
            self._due.pop(item.item_index, None)
        self._set_aside.difference_update(item.item_index for item in items)
        self._is_stuck = False
        self._at_hand.extendleft(reversed(items))

    def hand_over(self, outcome: Outcome) -> None:
        """Move an item to where outcomes wait for the recorder: it was in flight, the next at hand, or never read."""
        item_index = outcome.item_index
        if self._flights.pop(item_index, None) is None and self._at_hand and self._at_hand[0].item_index == item_index:
            self._at_hand.popleft()
        self._attempts.pop(item_index, None)
        self._put_off.pop(item_index, None)
        self._unrecorded.add(item_index)
        self._successful += outcome.status is BatchItemStatus.SUCCESS
        self._failed += outcome.status is BatchItemStatus.FAILED
        self._all_recorded.clear()

    def recorded(self, batch: Batch, indexes: Iterable[int]) -> None:
        """Note that outcomes were committed, and that the batch stands like this now."""
        self._without_outcome = batch.total_items - batch.processed_items
        recorded = set(indexes)
        self._unrecorded -= recorded
        self._canary -= recorded
        if not self._unrecorded:
            self._all_recorded.set()
        self._look_for_end()

    def abandon(self) -> Sequence[Dispatch]:
        """Let nothing more depart; answers what is in flight and no worker has begun, for the caller to hand over."""
        self._closed = True
        self._paused = False
        self._make_unread()
        return [flight.dispatch for flight in self._flights.values() if not flight.started]

    def pause(self, dropped: Iterable[Dispatch]) -> None:
        """Let nothing depart for now, and make unread what is `dropped` of what is in flight; the rest ends."""
        self._paused = True
        self._make_unread()
        self._drop(dropped)

    def resume(self) -> None:
        """Let items depart again. What is still in flight of a canary has to end first."""
        self._paused = False
        if self.canary_due:
            self._canary = set(self.underway())

    def leave(self, dropped: Iterable[Dispatch]) -> None:
        """Let nothing more depart, and make unread what is `dropped` of what is in flight: another server runs it."""
        self._leaving = True
        self.abandon()
        self._drop(dropped)
        self._look_for_end()

    def end(self) -> None:
        """Forget every item: the batch has ended or was lost."""
        self.abandon()
        self._ended = True
        self._flights.clear()
        self._unrecorded.clear()
        self._all_recorded.set()
        self._all_ended.set()

    async def all_ended(self) -> None:
        """Wait until nothing of a batch that leaves is in flight, or on its way to the store."""
        await self._all_ended.wait()

    def _make_unread(self) -> None:
        """Have all that has not departed read from the start, if ever it is."""
        self._era += 1
        self._at_hand.clear()
        self._set_aside.clear()
        self._put_off.clear()
        self._due.clear()
        self._canary.clear()
        self._is_stuck = self._reading = self._exhausted = self._canary_was_picked = False
        self._last_read = -1

    def _drop(self, dispatches: Iterable[Dispatch]) -> None:
        for dispatch in dispatches:
            del self._flights[dispatch.item.item_index]

    def _look_for_end(self) -> None:
        if self._leaving and self.is_empty:
            self._all_ended.set()

    async def all_recorded(self) -> None:
        """Wait until no outcome is on its way to the store."""
        await self._all_recorded.wait()
