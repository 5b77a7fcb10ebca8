"""The workers of this machine, and what is ready for them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.attempts.strikes import Culprits
from imagebatch_server.executors.attempts.worker_pool import PoolEvents, WorkersCannotStart
from imagebatch_server.executors.processes.child_session import ChildSettings
from imagebatch_server.executors.processes.load_breaker import LoadBreaker
from imagebatch_server.executors.processes.ready_queue import Pace, ReadyQueue
from imagebatch_server.executors.processes.worker import Worker
from imagebatch_server.executors.protocol.messages import Done

log = structlog.get_logger(__name__)

_FAILED_STARTS = 3


class LocalPool:
    """Give chunks to workers as they can take them. Implements `WorkerPool` and `SessionEvents`."""

    def __init__(self, settings: ChildSettings, workers: int, chunk_items: Mapping[str, int] | None = None) -> None:
        """`chunk_items` are the items that an operation takes at once, for those that do."""
        self.workers = workers
        self.items_at_once = settings.concurrency or 1
        self._events: PoolEvents
        self._starts_when_needed = settings.concurrency is not None
        self._load_breaker = LoadBreaker()
        self._pace = Pace()
        # To a concurrent child each item goes by itself, as soon as there is room.
        most_items = {} if settings.concurrency is None else {"most_items": 1}
        self._ready = ReadyQueue(self._pace, chunk_items or {}, **most_items)
        self._culprits = Culprits()
        self._workers = [Worker(settings, self._load_breaker, self, self._start_failed) for _ in range(workers)]
        self._supervisors: list[asyncio.Task[None]] = []
        self._first_up: asyncio.Future[None] | None = None
        self._failed_starts = 0
        self._closed = False

    @property
    def alive(self) -> int:
        """Workers whose child takes chunks."""
        return sum(worker.is_ready for worker in self._workers)

    @property
    def restarts(self) -> int:
        """Children that were replaced."""
        return sum(worker.restarts for worker in self._workers)

    @property
    def is_busy(self) -> bool:
        """Whether a child has work."""
        return any(worker.held for worker in self._workers)

    @property
    def first_turn_ms(self) -> float:
        """The turn that a child takes next; inf if nothing is ready."""
        return self._ready.first_turn_ms()

    def expected_s(self, operation: str) -> float:
        """Estimate what an item of the operation will take a child."""
        return self._pace.expected_s(operation)

    async def start(self, events: PoolEvents) -> None:
        """Start the children and wait for the first to run; they load after that. Raises WorkersCannotStart.

        A concurrent child starts when it is first needed.
        """
        self._events = events
        if self._starts_when_needed:
            return
        self._first_up = asyncio.get_running_loop().create_future()
        self._begin()
        try:
            await self._first_up
        except WorkersCannotStart:
            await self.stop()
            raise

    def _begin(self) -> None:
        """Start the children, unless that was done, without waiting; one that can't start is tried again and again."""
        if self._supervisors or self._closed:
            return
        for worker in self._workers:
            supervisor = asyncio.get_running_loop().create_task(worker.supervise())
            supervisor.add_done_callback(self._supervisor_ended)
            self._supervisors.append(supervisor)

    def close(self) -> None:
        """Hand out no more chunks."""
        self._closed = True
        for worker in self._workers:
            worker.take_back()

    async def stop(self) -> None:
        """End the children; nothing more is reported."""
        self._closed = True
        for supervisor in self._supervisors:
            supervisor.cancel()
        await asyncio.gather(*self._supervisors, return_exceptions=True)

    def add(self, attempt: Attempt) -> None:
        """Let an attempt wait for a child; its image is here."""
        self._begin()
        if self._culprits.have(attempt.dispatch):
            attempt.suspected = True
        self._ready.add(attempt)

    def forget(self, attempt: Attempt) -> None:
        """Nobody wants the attempt's result any more; a child that has it may run it all the same."""
        for worker in self._workers:
            worker.forget(attempt)

    def pump(self) -> None:
        """Give chunks to the workers that can take one: first to those that have nothing to do."""
        while not self._closed and self._hand_out():
            pass

    def _hand_out(self) -> bool:
        idle = [worker for worker in self._workers if worker.is_ready and not worker.held]
        alone = self._ready.next_goes_alone()
        busy = [worker for worker in self._workers if worker.takes_more(self._pace, goes_alone=alone)]
        sent = False
        for workers in (idle, busy):
            for position, worker in enumerate(workers):
                if workers is busy and self._ready.next_goes_alone() != alone:
                    return sent
                chunk = self._next_chunk(len(workers) - position)
                if not chunk:
                    return False
                worker.send(chunk)
                for attempt in chunk:
                    attempt.is_taken = True
                sent = True
        return sent

    def _next_chunk(self, workers: int) -> list[Attempt]:
        while (operation := self._ready.next_operation()) is not None:
            refusal = self._load_breaker.refusal(operation)
            if refusal is None:
                return self._ready.take(workers)
            error = ItemError(ItemErrorCode.INTERNAL, f"{refusal}; the server's log says more")
            for attempt in self._ready.take(1):
                self._events.failed(attempt, error, 0.0)
        return []

    # What the children's sessions report.

    def started(self, attempt: Attempt) -> None:
        self._events.started(attempt)

    def done(self, attempt: Attempt, done: Done) -> None:
        self._pace.observe(attempt.operation, done.run_s)
        self._events.done(attempt, done)

    def failed(self, attempt: Attempt, error: ItemError, run_s: float) -> None:
        if error.code is ItemErrorCode.WORKER_CRASHED:
            self._culprits.remember(attempt.dispatch)
        self._events.failed(attempt, error, run_s)

    def returned(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            attempt.is_taken = False
        self._ready.put_back(attempts)

    def progressed(self) -> None:
        first_up = self._first_up
        if first_up is not None and not first_up.done() and any(worker.has_come_up for worker in self._workers):
            first_up.set_result(None)
        self._events.progressed()

    def _start_failed(self, how: str) -> None:
        self._failed_starts += 1
        first_up = self._first_up
        if first_up is not None and not first_up.done() and self._failed_starts >= _FAILED_STARTS:
            first_up.set_exception(
                WorkersCannotStart(
                    f"no worker process can start: the last one {how}; see the log, or raise its memory limit"
                )
            )

    def _supervisor_ended(self, supervisor: asyncio.Task[None]) -> None:
        if supervisor.cancelled() or (error := supervisor.exception()) is None:
            return
        log.critical("worker.unsupervised", exc_info=error)
        if self._first_up is not None and not self._first_up.done():
            self._first_up.set_exception(error)
