"""Chooses what runs next: draws items of running batches, in turn by priority, and keeps a bounded number in flight."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches import canary, lifecycle
from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.batches.hosts import HostSlots, host_of
from imagebatch_server.batches.model import AttemptResult, Batch, Dispatch, Item, ItemResult, Outcome
from imagebatch_server.batches.ports import BatchStore, Executor
from imagebatch_server.batches.recorder import Recorder
from imagebatch_server.batches.running import MAX_SET_ASIDE, Flight, RunningBatch
from imagebatch_server.batches.turns import Turns

log = structlog.get_logger(__name__)

MAX_UNRECORDED = 4_096
"""Outcomes that may wait for the store before nothing more is dispatched."""

SKIPS_A_READ = 1_000
STORE_RETRY_S = 0.5

MOST_RETRY_AFTER_S = 300.0
"""An attempt waits no longer than this for somebody who wants to be left alone."""

SKIP_MESSAGES = {
    ItemErrorCode.CANCELLED: (
        "the batch was cancelled before this item was started; submit it again if it is still wanted"
    ),
    ItemErrorCode.DUPLICATE: (
        "the same image with the same metadata stands at a lower index, duplicate_of_index; see that item's result"
    ),
    ItemErrorCode.FAILURE_LIMIT: (
        "too many items of the batch failed; mend what the failures have in common, then retry the batch"
    ),
}


class Scheduler:
    """Drives every batch that this server owns. Implements `DispatchEvents` and `CommitListener`.

    Its state is in memory and can be lost: whatever has no outcome in the store is drawn again after a restart.
    """

    def __init__(
        self,
        store: BatchStore,
        recorder: Recorder,
        executor: Executor,
        hosts: HostSlots,
        backoff_s: Callable[[int], float] = lifecycle.backoff_s,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._executor = executor
        self._hosts = hosts
        self._backoff_s = backoff_s
        self._running: dict[str, RunningBatch] = {}
        self._turns: defaultdict[str, Turns] = defaultdict(Turns)
        """By the executor's lane: shares are of the same workers' time, and one lane's is no measure for another's."""
        self._unrecorded = 0
        self._pump_is_due = False
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()

    # What the rest of the core asks for.

    def add(self, batch: Batch, first_items: Sequence[Item] = ()) -> None:
        """Run a batch that this server owns; `first_items` are its first ones, if they are at hand."""
        earlier = self._running.get(batch.batch_id)
        if earlier is not None:  # a retry came before the news of the batch's end
            self._drop(earlier)
        lane = self._executor.lane(batch.options.operation, batch.options.parameters)
        running = RunningBatch(batch, first_items, lane)
        self._running[batch.batch_id] = running
        if batch.cancel_requested_at is not None:
            self._abandon(running, ItemErrorCode.CANCELLED)
        elif running.is_past_failure_limit():
            self._abandon(running, ItemErrorCode.FAILURE_LIMIT)
        elif running.canary_due:
            self._spawn(self._begin_with_canary(running))
        else:
            self._offer(running)

    def adopt(self, batch: Batch) -> None:
        """Run a batch unless it is being run: it was stored, but the answer that would have told so was lost."""
        if batch.batch_id not in self._running and not lifecycle.is_terminal(batch.status):
            log.info("batch adopted", batch_id=batch.batch_id)
            self.add(batch)

    def cancel(self, batch: Batch) -> None:
        """Skip what no worker has begun; what was begun is waited for."""
        running = self._running.get(batch.batch_id)
        if running is not None:
            self._abandon(running, ItemErrorCode.CANCELLED)

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
        return sum(len(running.flights) for running in self._running.values())

    @property
    def running_batches(self) -> int:
        """Batches that have items without an outcome."""
        return len(self._running)

    def stop(self) -> None:
        """Dispatch nothing more; what is in flight may still end."""
        self._stopping = True

    async def close(self) -> None:
        """Give up what still reads."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What the executor reports.

    def fetched(self, dispatch: Dispatch) -> None:
        parked = self._hosts.release(host_of(dispatch.item.image_url or ""))
        if parked is not None:
            running, item_index = parked
            self._spawn(self._bring_back(running, item_index))
        self._pump_soon()

    def started(self, dispatch: Dispatch) -> None:
        flight = self._flight_of(dispatch)
        if flight is not None:
            flight.started = True

    def finished(self, result: AttemptResult) -> None:
        dispatch = result.dispatch
        flight = self._flight_of(dispatch)
        if flight is None:
            return  # answers no outstanding dispatch: it was cancelled, or the batch was lost
        running = self._running[dispatch.batch_id]
        del running.flights[dispatch.item.item_index]
        self._turns[running.lane].settle(running, flight.estimated_ms, result.processing_time_ms)
        if not self._attempt_again(running, result):
            # The last in flight can't wait: nothing follows it, and its batch may end with it.
            self._record(running, dispatch.item, _outcome(result), can_wait=bool(running.flights))
            if running.is_past_failure_limit():
                self._abandon(running, ItemErrorCode.FAILURE_LIMIT)
        self._pump_soon()

    def room_changed(self) -> None:
        self._pump_soon()

    # What the recorder reports.

    def committed(self, batch: Batch, outcomes: Sequence[Outcome], results: Sequence[ItemResult] | None) -> None:
        running = self._running.get(batch.batch_id)
        if running is None or running.batch.owner_epoch != batch.owner_epoch:
            return
        running.recorded(batch, [outcome.item_index for outcome in outcomes])
        self._unrecorded -= len(outcomes)
        if lifecycle.is_terminal(batch.status):
            log.info("batch ended", batch_id=batch.batch_id, status=batch.status.value, items=batch.total_items)
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
        log.warning("batch is no longer owned by this server", batch_id=batch_id)
        for flight in running.flights.values():
            self._executor.forget(flight.dispatch)
        self._drop(running)

    # Drawing and dispatching.

    def _pump_soon(self) -> None:
        if not self._pump_is_due:
            self._pump_is_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _offer(self, running: RunningBatch) -> None:
        """Let the batch take turns if it has an item at hand, and read ahead before it has none."""
        size = running.begin_read()
        if size is not None:
            self._spawn(self._read_ahead(running, size))
        if running.window and not running.stuck:
            self._turns[running.lane].enter(running)
            self._pump_soon()

    def _pump(self) -> None:
        self._pump_is_due = False
        if not self._stopping:
            for lane, turns in list(self._turns.items()):
                self._pump_lane(lane, turns)

    def _pump_lane(self, lane: str, turns: Turns) -> None:
        held_back = MAX_UNRECORDED - self._unrecorded
        room = min(self._executor.room(lane), held_back)
        room_to_fetch = min(self._executor.room_to_fetch(lane), self._hosts.room(), held_back)
        while (running := turns.next(stored=room > 0, fetched=room_to_fetch > 0)) is not None:
            for _ in range(turns.items_a_turn(running)):
                if not running.window:
                    break
                item = running.window[0]
                if not item.is_fetched:
                    if room <= 0:
                        break
                    room -= 1
                    self._run_or_skip(running, running.window.popleft())
                elif room_to_fetch <= 0:
                    break
                elif self._hosts.acquire(host_of(item.image_url or "")):
                    room_to_fetch -= 1
                    self._dispatch(running, running.window.popleft())
                elif not self._set_aside(running, item):
                    break
            self._offer(running)

    def _set_aside(self, running: RunningBatch, item: Item) -> bool:
        """Let the next item wait for its host; False if too many wait already, and then the batch waits."""
        if running.set_aside >= MAX_SET_ASIDE:
            running.stuck = True
            return False
        running.window.popleft()
        running.put_aside()
        self._hosts.park(host_of(item.image_url or ""), running, item.item_index)
        return True

    def _run_or_skip(self, running: RunningBatch, item: Item) -> None:
        if item.duplicate_of_index is None:
            self._dispatch(running, item)
        else:
            self._skip(running, item, ItemErrorCode.DUPLICATE)

    def _dispatch(self, running: RunningBatch, item: Item) -> None:
        batch = running.batch
        if not running.has_started:
            running.has_started = True
            self._recorder.start(batch)
        dispatch = Dispatch(
            tenant=batch.tenant,
            batch_id=batch.batch_id,
            owner_epoch=batch.owner_epoch,
            attempt=running.attempts.get(item.item_index, 0) + 1,
            item=item,
            operation=batch.options.operation,
            parameters=batch.options.parameters,
            timeout_s=batch.options.item_timeout_s,
            lane=running.lane,
        )
        running.flights[item.item_index] = Flight(dispatch, self._turns[running.lane].charge(running))
        self._executor.submit(dispatch)

    def _flight_of(self, dispatch: Dispatch) -> Flight | None:
        running = self._running.get(dispatch.batch_id)
        return running.flight_of(dispatch) if running is not None else None

    def _attempt_again(self, running: RunningBatch, result: AttemptResult) -> bool:
        attempt = result.dispatch.attempt
        if not result.transient or running.closed or attempt >= running.batch.options.max_attempts:
            return False
        item_index = result.dispatch.item.item_index
        running.attempts[item_index] = attempt
        running.put_aside()
        wait_s = max(self._backoff_s(attempt), min(result.retry_after_s or 0.0, MOST_RETRY_AFTER_S))
        asyncio.get_running_loop().call_later(wait_s, lambda: self._spawn(self._bring_back(running, item_index)))
        return True

    def _record(self, running: RunningBatch, item: Item, outcome: Outcome, *, can_wait: bool = False) -> None:
        running.hand_over(outcome)
        self._unrecorded += 1
        self._recorder.add(running.batch, item, outcome, can_wait=can_wait)

    def _abandon(self, running: RunningBatch, code: ItemErrorCode) -> None:
        """Skip all items but those that a worker has begun."""
        if running.closed:
            return
        running.close()
        for flight in running.unstarted():
            self._executor.forget(flight.dispatch)
            del running.flights[flight.dispatch.item.item_index]
            self._skip(running, flight.dispatch.item, code)
        self._spawn(self._skip_rest(running, code))

    def _skip(self, running: RunningBatch, item: Item, code: ItemErrorCode) -> None:
        skipped = Outcome(
            item_index=item.item_index,
            status=BatchItemStatus.SKIPPED,
            error_code=code,
            error_message=SKIP_MESSAGES[code],
            attempts=running.attempts.get(item.item_index, 0),
            duplicate_of_index=item.duplicate_of_index if code is ItemErrorCode.DUPLICATE else None,
        )
        self._record(running, item, skipped)

    def _drop(self, running: RunningBatch) -> None:
        running.close()
        self._unrecorded -= len(running.unrecorded)
        del self._running[running.batch.batch_id]

    # Reading items; a store that is away is waited for.

    async def _read_ahead(self, running: RunningBatch, size: int) -> None:
        batch = running.batch
        items = await _patiently(lambda: self._store.pending_items(batch.tenant, batch.batch_id, running.cursor, size))
        if not running.closed:
            running.end_read(items)
            if running.is_empty:
                self._drop(running)  # it ended before it was adopted
            else:
                self._offer(running)

    async def _bring_back(self, running: RunningBatch, item_index: int) -> None:
        """Read an item that was set aside again, and put it in front."""
        batch = running.batch
        if running.closed:
            return
        items = await _patiently(lambda: self._store.items(batch.tenant, batch.batch_id, [item_index]))
        if not running.closed:
            running.bring_back(items)
            self._offer(running)

    async def _begin_with_canary(self, running: RunningBatch) -> None:
        wanted = running.canary_due
        items = await _patiently(lambda: canary.pick(self._store, running.batch, wanted))
        if not running.closed:
            running.begin_with(items)
            self._offer(running)

    async def _skip_rest(self, running: RunningBatch, code: ItemErrorCode) -> None:
        """Skip page by page what has no outcome, leaving the items in flight to end by themselves."""
        cursor = -1
        while items := await self._unknown_items(running, cursor):
            for item in items:
                self._skip(running, item, code)
            cursor = items[-1].item_index
            await running.all_recorded()
        if running.is_empty and self._running.get(running.batch.batch_id) is running:
            self._drop(running)  # it ended before it was adopted

    async def _unknown_items(self, running: RunningBatch, after_index: int) -> Sequence[Item]:
        """The next items without an outcome that are not on their way to one."""
        batch = running.batch
        while True:
            # Noted before the read: what is recorded while it is under way may still look pending in it.
            known = running.flights.keys() | running.unrecorded
            read = partial(self._store.pending_items, batch.tenant, batch.batch_id, after_index, SKIPS_A_READ)
            items = await _patiently(read)
            unknown = [item for item in items if item.item_index not in known]
            if unknown or not items:
                return unknown
            after_index = items[-1].item_index

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _patiently(read: Callable[[], Awaitable[Sequence[Item]]]) -> Sequence[Item]:
    while True:
        try:
            return await read()
        except StoreUnavailable as error:
            log.warning("items wait for the store", why=str(error))
            await asyncio.sleep(STORE_RETRY_S)


def _outcome(result: AttemptResult) -> Outcome:
    return Outcome(
        item_index=result.dispatch.item.item_index,
        status=BatchItemStatus.SUCCESS if result.error_code is None else BatchItemStatus.FAILED,
        error_code=result.error_code,
        error_message=lifecycle.plain_text(result.error_message),
        output_data=result.output_data,
        processing_time_ms=result.processing_time_ms,
        attempts=result.dispatch.attempt,
        image_sha256=result.image_sha256,
        stored_object=result.stored_object,
        input_tokens=result.input_tokens,
        output_tokens=result.output_tokens,
    )
