"""Why items of a batch wait: found by the server that runs it, and written for the others to tell."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from imagebatch.v1.enums import WaitingReason
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.batches.hosts import Hosts
from imagebatch_server.batches.model import Batch, Waiting
from imagebatch_server.batches.ports.batches import BatchStore, WaitingChange
from imagebatch_server.batches.ports.execution import Executor
from imagebatch_server.batches.ports.servers import Servers
from imagebatch_server.batches.running import RunningBatch

LOOK_EVERY_S = 1.0

MOST_WRITTEN = 100
"""Batches that are written of at one time; of others the next time, so that a thousand that wait cost little."""


class WaitingReasons:
    """Look once a second at what runs here, and write what has changed. A loop."""

    name = "waiting"

    def __init__(
        self,
        running: Callable[[], Collection[RunningBatch]],
        hosts: Hosts,
        executor: Executor,
        store_is_away: Callable[[], bool],
        store: BatchStore,
        servers: Servers,
        now: Callable[[], datetime],
    ) -> None:
        self._running = running
        self._hosts = hosts
        self._executor = executor
        self._store_is_away = store_is_away
        self._store = store
        self._servers = servers
        self._now = now
        self._found: dict[str, tuple[int, Waiting | None]] = {}
        """By batch_id: the epoch in which it ran here, and what it waited for a second ago."""
        self._written: dict[str, Waiting | None] = {}

    def of(self, batch: Batch) -> Waiting | None:
        """Tell why items of a batch wait, whoever runs it."""
        if lifecycle.is_terminal(batch.status) or batch.cancel_requested_at is not None:
            return None
        if batch.paused_at is not None:
            return Waiting(WaitingReason.PAUSED)
        epoch, found = self._found.get(batch.batch_id, (0, None))
        if epoch == batch.owner_epoch:
            return found
        operation = batch.options.operation
        if not any(operation in server.operations for server in (self._servers.own, *self._servers.others)):
            return Waiting(WaitingReason.NO_WORKER, detail=f"no server offers the operation {operation}")
        return batch.waiting

    async def step(self) -> None:
        """Look in a second."""
        await asyncio.sleep(LOOK_EVERY_S)
        await self.look()

    async def look(self) -> None:
        """Find out why each batch waits, and write what others don't know yet, unless the store is away."""
        batches = self._running()
        in_flight: Counter[tuple[str, str]] = Counter()
        for running in batches:
            in_flight[running.lane, running.batch.tenant] += running.in_flight
        busy: Counter[str] = Counter()
        for (lane, _), number in in_flight.items():
            busy[lane] += number
        self._found = {
            running.batch.batch_id: (running.batch.owner_epoch, self._why(running, in_flight, busy))
            for running in batches
        }
        known = {running.batch.batch_id: running.batch.waiting for running in batches}
        self._written = {batch_id: self._written.get(batch_id, waiting) for batch_id, waiting in known.items()}
        if not self._store_is_away():
            await self._write(batches)

    async def _write(self, batches: Collection[RunningBatch]) -> None:
        changes: list[WaitingChange] = []
        for running in batches:
            batch = running.batch
            epoch, waiting = self._found[batch.batch_id]
            if waiting != self._written[batch.batch_id] and len(changes) < MOST_WRITTEN:
                changes.append(WaitingChange(batch.tenant, batch.batch_id, epoch, waiting))
        if not changes:
            return
        try:
            await self._store.set_waiting(changes)
        except StoreUnavailable:
            return  # the recorder tells of it, and what is new is written in a second
        for change in changes:
            del self._written[change.batch_id]  # and behind those that were not written yet
            self._written[change.batch_id] = change.waiting

    def _why(self, running: RunningBatch, in_flight: Counter[tuple[str, str]], busy: Counter[str]) -> Waiting | None:
        if running.closed or running.paused or not (running.queued or running.in_flight):
            return None  # what is paused every server sees
        if self._store_is_away():
            return Waiting(WaitingReason.STORE_AWAY, detail="outcomes are kept, and recorded once it takes them")
        trouble = self._executor.trouble
        if trouble is not None or (not self._executor.alive and not running.is_worked_on):
            return Waiting(WaitingReason.NO_WORKER, detail=trouble or "no worker is up; they are being started")
        return (
            self._for_others_than_workers(running)
            if running.next_item is None or running.is_stuck or running.awaits_provider
            else self._for_workers(running, in_flight, busy)
        )

    def _for_others_than_workers(self, running: RunningBatch) -> Waiting | None:
        """All that has not departed waits for its host, the endpoint or another attempt."""
        wait = self._hosts.waits_of(running)
        if wait is not None:
            detail = f"{_counted(wait.items)} for {wait.host[:200]}"
            if wait.held_until is None:
                return Waiting(WaitingReason.HOST_LIMIT, detail=detail)
            return Waiting(WaitingReason.HOST_ASKED_TO_WAIT, until=self._at(wait.held_until), detail=detail)
        due = running.next_due
        if due is None:
            return None
        if running.awaits_provider:
            detail = f"{_counted(running.due_items)} for the model's endpoint"
            return Waiting(WaitingReason.PROVIDER_LIMIT, until=self._at(due), detail=detail)
        if running.in_flight:
            return None
        detail = f"{_counted(running.due_items)} for another attempt"
        return Waiting(WaitingReason.BACKOFF, until=self._at(due), detail=detail)

    def _for_workers(
        self, running: RunningBatch, in_flight: Counter[tuple[str, str]], busy: Counter[str]
    ) -> Waiting | None:
        if running.is_worked_on:
            return None
        if busy[running.lane] > running.in_flight:
            of_tenant = in_flight[running.lane, running.batch.tenant] - running.in_flight
            return Waiting(WaitingReason.BEHIND_OTHERS, items_ahead=of_tenant)
        return None if running.in_flight else Waiting(WaitingReason.NO_ROOM)

    def _at(self, due: float) -> datetime:
        """Turn a time of the event loop into one of the calendar, to the second: it is compared."""
        left_s = max(due - asyncio.get_running_loop().time(), 0.0)
        at = self._now() + timedelta(seconds=left_s)
        return datetime.fromtimestamp(math.ceil(at.timestamp()), tz=at.tzinfo)


def _counted(items: int) -> str:
    return "1 item waits" if items == 1 else f"{items:,} items wait"
