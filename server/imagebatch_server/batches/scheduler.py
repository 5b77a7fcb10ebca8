"""Choose what runs next: draw items of running batches, in turn by priority, and keep a bounded number in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches import lifecycle, unrun
from imagebatch_server.batches.claim import Claim
from imagebatch_server.batches.handover import Handover
from imagebatch_server.batches.hosts import Hosts
from imagebatch_server.batches.item_reader import ItemReader
from imagebatch_server.batches.lookup import Lookup
from imagebatch_server.batches.model import AttemptResult, Batch, Dispatch, Item, ItemResult, Outcome, StoredObject
from imagebatch_server.batches.patience import patiently
from imagebatch_server.batches.placement import WaitingBatch
from imagebatch_server.batches.ports.batches import BatchStore
from imagebatch_server.batches.ports.execution import Executor
from imagebatch_server.batches.ports.servers import News, NewsKind, Servers
from imagebatch_server.batches.recorder import Recorder
from imagebatch_server.batches.running import RunningBatch
from imagebatch_server.batches.stride import SAVED_ITEMS, Stride
from imagebatch_server.batches.tasks import Tasks
from imagebatch_server.trace_context import log_fields
from imagebatch_server.urls import host_of

log = structlog.get_logger(__name__)

MAX_UNRECORDED = 4_096
"""Outcomes that may wait for the store before nothing more is dispatched."""

MOST_RETRY_AFTER_S = 300.0
"""An attempt waits no longer than this for somebody who wants to be left alone."""

_MAY_BE_RUN = (
    NewsKind.SUBMITTED,
    NewsKind.CANCEL_REQUESTED,
    NewsKind.PAUSED,
    NewsKind.RESUMED,
    NewsKind.UPDATED,
    NewsKind.REOPENED,
    NewsKind.MOVED,
)
"""News of batches that may have to be run here, although they are not yet."""


@dataclass(slots=True)
class _Room:
    """How many more items may be dispatched now, by kind."""

    stored: int
    fetched: int


class Scheduler:
    """Drive every batch that this server owns. Implements `DispatchEvents` and `CommitListener`, and follows the news.

    Its state is in memory and can be lost: whatever has no outcome in the store is drawn again after a restart.
    """

    def __init__(
        self,
        store: BatchStore,
        recorder: Recorder,
        executor: Executor,
        hosts: Hosts,
        news: News,
        handover: Handover,
        claim: Claim,
        servers: Servers,
        weight: Callable[[str], float],
        backoff_s: Callable[[int], float] = lifecycle.backoff_s,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._executor = executor
        self._hosts = hosts
        self._handover = handover
        self._claim = claim
        self._servers = servers
        self._news = news
        self._backoff_s = backoff_s
        self._running: dict[str, RunningBatch] = {}
        self._weight = weight
        self._strides: dict[str, Stride] = {}
        """By the executor's lane: shares are of the same workers' time, and one lane's is no measure for another's."""
        self._unrecorded = 0
        self._pump_is_due = False
        self._stopping = False
        self._term = servers.term
        """The term in which it was last made sure that what runs here is this server's own."""
        self._reader = ItemReader(store, self._was_read)
        self._lookup = Lookup(self._look_up, self._found)
        self._skipping = Tasks()
        self._giving = Tasks()
        hosts.attach(self._reader.bring_back)
        news.subscribe(self._on_news)

    # What the rest of the core asks for.

    def reconcile(self, batch: Batch, first_items: Sequence[Item] = ()) -> None:
        """Bring what runs here in line with a batch as the store has it; repeating it does no harm.

        `first_items` are the batch's first ones, if they are at hand.
        """
        running = self._running.get(batch.batch_id)
        if not self._claim.covers(batch):
            if running is not None and running.batch.owner_epoch < batch.owner_epoch:
                self.lost(batch.batch_id, running.batch.owner_epoch)
            return
        if running is not None and running.batch.owner_epoch < batch.owner_epoch:
            self._drop(running)  # it was reopened, and the news of its end is still to come
            running = None
        if running is None:
            if not lifecycle.is_terminal(batch.status):
                self._run(batch, first_items)
        elif batch.cancel_requested_at is not None:
            self._abandon(running, ItemErrorCode.CANCELLED)
        elif not running.closed and _is_changed(running.batch, batch):
            # This may have been read before the last change that is known here: lookups tell, which are in order.
            self._lookup.ask(batch.tenant, batch.batch_id)

    def compare(self, owned: Mapping[tuple[str, str], int], term: int | None) -> None:
        """Look up batches that run here and are not owned at this epoch, or the other way round.

        `owned` was read in the term, in which this server may go on.
        """
        here = {(one.batch.tenant, one.batch.batch_id): one.batch.owner_epoch for one in self._running.values()}
        for tenant, batch_id in {key for key, _ in here.items() ^ owned.items()}:
            self._lookup.ask(tenant, batch_id)
        self._term = term
        self._pump_soon()

    def hand_over(self, batch_id: str, owner: str) -> None:
        """Give a batch to another server, or NOBODY, once what workers have of it is recorded."""
        running = self._running.get(batch_id)
        if running is None or running.closed:
            return  # it has ended, or what is left of it is being skipped
        self._hosts.forget(running)
        running.leave(self._withdraw(running))
        self._giving.spawn(self._give(running, owner))

    async def handed_over(self) -> None:
        """Wait until every batch is given that was to be. The executor has stopped: what is in flight does not end."""
        for running in self._running.values():
            if running.leaving:
                running.leave(running.dispatches())
        await self._giving.ended()

    def waiting(self) -> Sequence[WaitingBatch]:
        """List the batches that could be handed over."""
        return [
            WaitingBatch(batch_id, running.batch.options.operation, running.queued, running.has_departed)
            for batch_id, running in self._running.items()
            if not running.closed
        ]

    def running(self) -> Collection[RunningBatch]:
        """List what runs here."""
        return self._running.values()

    def processing(self, batch_id: str) -> frozenset[int]:
        """Indexes of the items that workers are busy with."""
        running = self._running.get(batch_id)
        return running.started_indexes() if running is not None else frozenset()

    @property
    def queued(self) -> int:
        """Items of running batches that are neither in flight nor recorded."""
        return sum(running.queued for running in self._running.values())

    @property
    def in_flight(self) -> int:
        """Attempts that were dispatched and have not ended."""
        return sum(running.in_flight for running in self._running.values())

    @property
    def running_batches(self) -> int:
        """Batches that have items without an outcome, paused ones left out."""
        return sum(not running.paused for running in self._running.values())

    def stop(self) -> None:
        """Dispatch nothing more; what is in flight may still end."""
        self._stopping = True

    async def close(self) -> None:
        """Give up what still reads."""
        await self._lookup.close()
        await self._reader.close()
        await self._skipping.close()
        await self._giving.close()

    # News of batches.

    def _on_news(self, kind: NewsKind, tenant: str, batch_id: str) -> None:
        new = self._handover.take(batch_id)
        if new is not None and kind is NewsKind.SUBMITTED:
            self.reconcile(*new)
        elif kind in _MAY_BE_RUN or batch_id in self._running:  # a deleted one runs if its tenant is deleted with it
            self._lookup.ask(tenant, batch_id)

    async def _look_up(self, tenant: str, batch_id: str) -> Batch:
        return await self._store.get(tenant, batch_id)

    def _found(self, batch_id: str, batch: Batch | None) -> None:
        if batch is not None:
            self._change(batch)
            self.reconcile(batch)
        elif batch_id in self._running:
            self._let_go(self._running[batch_id])

    def _change(self, batch: Batch) -> None:
        """Let the batch pause, go on or take another share of the turns, as a lookup found it."""
        running = self._running.get(batch.batch_id)
        if running is None or running.closed or running.batch.owner_epoch != batch.owner_epoch:
            return
        running.batch = batch
        if batch.paused_at is None and running.paused:
            running.resume()
            self._recorder.resume(batch.batch_id)
            self._offer(running)
        elif batch.paused_at is not None and not running.paused:
            self._hosts.forget(running)
            running.pause(self._withdraw(running))
            self._pump_soon()

    def _withdraw(self, running: RunningBatch) -> Sequence[Dispatch]:
        """Take back what no worker has begun; answers what was."""
        return [dispatch for dispatch in running.dispatches() if self._executor.withdraw(dispatch)]

    def _run(self, batch: Batch, first_items: Sequence[Item]) -> None:
        lane = self._executor.lane(batch.options.operation, batch.options.parameters)
        if lane not in self._strides:
            self._strides[lane] = Stride(self._weight, partial(self._executor.first_turn_ms, lane))
        running = RunningBatch(batch, first_items, lane)
        self._running[batch.batch_id] = running
        if batch.cancel_requested_at is not None:
            self._abandon(running, ItemErrorCode.CANCELLED)
        elif running.is_past_failure_limit:
            self._abandon(running, ItemErrorCode.FAILURE_LIMIT)
        else:
            self._offer(running)

    # What the executor reports.

    def fetched(self, dispatch: Dispatch) -> None:
        self._hosts.release(dispatch)
        self._pump_soon()

    def answered(self, dispatch: Dispatch) -> None:
        self._hosts.answered(host_of(dispatch.item.image_url or ""))

    def started(self, dispatch: Dispatch) -> None:
        running = self._running.get(dispatch.batch_id)
        if running is not None:
            running.start(dispatch)

    def finished(self, result: AttemptResult) -> None:
        dispatch = result.dispatch
        running = self._running.get(dispatch.batch_id)
        flight = running.flight_of(dispatch) if running is not None else None
        if running is None or flight is None:
            return  # answers no outstanding dispatch: it was cancelled, or the batch was lost
        self._strides[running.lane].settle(running, flight.estimated_ms, result.outcome.processing_time_ms or 0)
        is_another_due = result.transient and dispatch.attempt < running.batch.options.max_attempts
        if (running.leaving or running.paused) and (result.busy or is_another_due):
            running.give_back(dispatch, counts=not result.busy)  # to be attempted by the next owner, or after the pause
        elif not (self._put_off(running, result) if result.busy else self._attempt_again(running, result)):
            # The last in flight can't wait: nothing follows it, and its batch may end with it.
            can_wait = running.in_flight > 1
            self._record(running, dispatch.item, result.outcome, result.objects, can_wait=can_wait)
            if running.is_past_failure_limit:
                self._abandon(running, ItemErrorCode.FAILURE_LIMIT)
        self._pump_soon()

    def fetch_is_slow(self, dispatch: Dispatch) -> None:
        self._hosts.lend(dispatch)
        self._pump_soon()

    def room_grew(self) -> None:
        self._pump_soon()

    # What the recorder reports.

    def committed(self, batch: Batch, outcomes: Sequence[Outcome], results: Sequence[ItemResult] | None) -> None:
        running = self._running.get(batch.batch_id)
        if running is None or running.batch.owner_epoch != batch.owner_epoch:
            return
        running.recorded(batch, [outcome.item_index for outcome in outcomes])
        self._unrecorded -= len(outcomes)
        if lifecycle.is_terminal(batch.status):
            log.info(
                "batch.ended",
                batch_id=batch.batch_id,
                status=batch.status.value,
                items=batch.total_items,
                **log_fields(batch.traceparent),
            )
            self._drop(running)
        elif batch.cancel_requested_at is not None:
            self._abandon(running, ItemErrorCode.CANCELLED)
        else:
            self._offer(running)  # the canary may be done
        self._pump_soon()

    def lost(self, batch_id: str, owner_epoch: int) -> None:
        running = self._running.get(batch_id)
        if running is None or running.batch.owner_epoch != owner_epoch:
            return
        log.warning("batch.lost", batch_id=batch_id)
        self._let_go(running)

    # Drawing and dispatching.

    def _pump_soon(self) -> None:
        if not self._pump_is_due:
            self._pump_is_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _was_read(self, running: RunningBatch) -> None:
        if running.is_empty:
            self._drop(running)  # it ended before it was adopted
        else:
            self._offer(running)

    def _offer(self, running: RunningBatch) -> None:
        """Let the batch take turns if it has an item at hand, and read ahead before it has none."""
        self._reader.read_ahead(running)
        item = running.next_item
        if item is not None and not running.is_stuck and self._has_share(running, item):
            self._strides[running.lane].enter(running)
            self._pump_soon()

    def _has_share(self, running: RunningBatch, item: Item) -> bool:
        """Tell whether the batch may have this item's fetch; if not, it is offered again when it may."""
        return not item.is_fetched or self._hosts.has_share(host_of(item.image_url or ""), running, item.item_index)

    def _pump(self) -> None:
        self._pump_is_due = False
        while not self._stopping and self._term is not None and self._term == self._servers.term:
            for lane, stride in list(self._strides.items()):
                self._pump_lane(lane, stride)
            relieved = self._hosts.relieved()
            if not relieved:
                return
            for running in relieved:
                self._offer(running)

    def _pump_lane(self, lane: str, stride: Stride) -> None:
        held_back = MAX_UNRECORDED - self._unrecorded
        room = _Room(
            stored=min(self._executor.room(lane), held_back),
            fetched=min(self._executor.room_to_fetch(lane), self._hosts.room(), held_back),
        )
        while (running := stride.next(stored=room.stored > 0, fetched=room.fetched > 0)) is not None:
            for _ in range(stride.items_a_turn(running)):
                if not self._go_on(running, stride, room):
                    break
            self._offer(running)
        self._overtake(lane, stride)

    def _overtake(self, lane: str, stride: Stride) -> None:
        """Dispatch what goes before items that wait for a worker: else it would wait for them where they take long.

        It is little: each dispatch brings its tenant's turn closer to those that wait.
        """
        held_back = MAX_UNRECORDED - self._unrecorded
        room = _Room(stored=held_back, fetched=min(self._hosts.room(), held_back))
        while True:
            before_ms = self._executor.last_turn_ms(lane)
            running = stride.next(stored=room.stored > 0, fetched=room.fetched > 0, before_ms=before_ms)
            if running is None:
                return
            may_overtake = self._may_overtake(running, stride)
            if may_overtake:
                self._go_on(running, stride, room)
            self._offer(running)
            if not may_overtake:
                return

    def _may_overtake(self, running: RunningBatch, stride: Stride) -> bool:
        """Tell whether it is known what the batch's items take, or else its tenant has but a few in flight."""
        if stride.knows(running):
            return True
        tenant = running.batch.tenant
        return sum(other.in_flight for other in self._running.values() if other.batch.tenant == tenant) < SAVED_ITEMS

    def _go_on(self, running: RunningBatch, stride: Stride, room: _Room) -> bool:
        """Dispatch the batch's next item, or let it wait for its host; False if it can do neither now."""
        item = running.next_item
        if item is None:
            return False
        if not item.is_fetched:
            if room.stored <= 0:
                return False
            room.stored -= 1
            self._dispatch_or_skip(running, item, stride)
            return True
        if room.fetched <= 0 or not self._has_share(running, item):
            return False
        if self._hosts.acquire(host_of(item.image_url or ""), running, item.item_index):
            room.fetched -= 1
            self._dispatch(running, stride)
            return True
        return self._wait_for_host(running, item)

    def _dispatch_or_skip(self, running: RunningBatch, item: Item, stride: Stride) -> None:
        if item.duplicate_of_index is None:
            self._dispatch(running, stride)
        else:
            self._skip(running, item, ItemErrorCode.DUPLICATE)

    def _dispatch(self, running: RunningBatch, stride: Stride) -> None:
        if not running.has_departed:
            self._recorder.start(running.batch)
        self._executor.submit(running.depart(stride.charge(running)))

    def _wait_for_host(self, running: RunningBatch, item: Item) -> bool:
        """Let the next item wait for its host, or fail if it has waited too long; False if too many wait already."""
        host = host_of(item.image_url or "")
        if self._hosts.gives_up(host, running, item.item_index):
            attempts = running.attempts(item.item_index)
            self._record(running, item, unrun.given_up(item, host, attempts, patience_s=self._hosts.patience_s))
            return True
        if running.set_aside():
            self._hosts.wait(host, running, item.item_index)
            return True
        return False

    def _put_off(self, running: RunningBatch, result: AttemptResult) -> bool:
        """Let an item wait for whoever was too busy for it; False if it has waited too long already."""
        dispatch, now = result.dispatch, asyncio.get_running_loop().time()
        item = dispatch.item
        # A host is held for all that wait for it; of anybody else it is not known here whom to ask when.
        host = host_of(item.image_url or "") if result.outcome.error_code is ItemErrorCode.FETCH_FAILED else None
        if host is not None:
            self._hosts.complained(host, result.retry_after_s)
        if running.closed or now - running.put_off_since(item.item_index, now) >= self._hosts.patience_s:
            return False
        running.put_off(dispatch, now)
        if host is not None:
            self._hosts.wait(host, running, item.item_index, first=True)
        else:
            times = running.put_offs(item.item_index)
            self._bring_back_later(running, item.item_index, times, result.retry_after_s, was_put_off=True)
        return True

    def _attempt_again(self, running: RunningBatch, result: AttemptResult) -> bool:
        dispatch = result.dispatch
        if not result.transient or running.closed or dispatch.attempt >= running.batch.options.max_attempts:
            return False
        running.turn_back(dispatch)
        self._bring_back_later(running, dispatch.item.item_index, dispatch.attempt, result.retry_after_s)
        return True

    def _bring_back_later(
        self,
        running: RunningBatch,
        item_index: int,
        attempt: int,
        retry_after_s: float | None,
        *,
        was_put_off: bool = False,
    ) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + max(self._backoff_s(attempt), min(retry_after_s or 0.0, MOST_RETRY_AFTER_S))
        running.comes_back(item_index, at, was_put_off=was_put_off)
        loop.call_at(at, self._reader.bring_back, running, item_index, running.era)

    def _record(
        self,
        running: RunningBatch,
        item: Item,
        outcome: Outcome,
        objects: Sequence[StoredObject] = (),
        *,
        can_wait: bool = False,
    ) -> None:
        running.hand_over(outcome)
        self._unrecorded += 1
        self._recorder.add(running.batch, item, outcome, objects, can_wait=can_wait)

    def _abandon(self, running: RunningBatch, code: ItemErrorCode) -> None:
        """Skip all items but those that a worker has begun."""
        if running.closed:
            return
        self._hosts.forget(running)
        for dispatch in running.abandon():
            self._executor.forget(dispatch)
            self._skip(running, dispatch.item, code)
        self._skipping.spawn(self._skip_rest(running, code))

    async def _skip_rest(self, running: RunningBatch, code: ItemErrorCode) -> None:
        async for items in self._reader.without_outcome(running):
            for item in items:
                self._skip(running, item, code)
        if running.is_empty and not running.ended:
            self._drop(running)  # it ended before it was adopted

    def _skip(self, running: RunningBatch, item: Item, code: ItemErrorCode) -> None:
        self._record(running, item, unrun.skipped(item, code, running.attempts(item.item_index)))

    async def _give(self, running: RunningBatch, owner: str) -> None:
        batch = running.batch
        await running.all_ended()
        if running.ended:
            return
        give = partial(self._store.give, batch.tenant, batch.batch_id, batch.owner_epoch, owner)
        await patiently(give, "the handing over of a batch")
        log.info("batch.handed_over", batch_id=batch.batch_id, to=owner)
        if not running.ended:
            self._drop(running)
        self._news.publish(NewsKind.MOVED, batch.tenant, batch.batch_id)

    def _let_go(self, running: RunningBatch) -> None:
        for dispatch in running.dispatches():
            self._executor.forget(dispatch)
        self._drop(running)

    def _drop(self, running: RunningBatch) -> None:
        self._unrecorded -= running.unrecorded
        self._hosts.forget(running)
        running.end()
        self._strides[running.lane].leave(running)
        del self._running[running.batch.batch_id]


def _is_changed(known: Batch, found: Batch) -> bool:
    """Whether callers have paused, resumed or updated a batch in a way that concerns how it runs."""
    return (known.paused_at, known.options.priority) != (found.paused_at, found.options.priority)
