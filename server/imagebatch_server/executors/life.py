"""One child's life: what it is sent, what it says, and who pays when it dies."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from imagebatch_server.batches.errors import ItemError
from imagebatch_server.executors import judge
from imagebatch_server.executors.attempt import Attempt
from imagebatch_server.executors.channel import Channel
from imagebatch_server.executors.deadline import Deadline
from imagebatch_server.executors.loads import LoadRecord
from imagebatch_server.executors.messages import (
    EXIT_FULL,
    BadFrame,
    Chunk,
    Done,
    FromChild,
    Loaded,
    LoadFailed,
    Loading,
    Start,
    Started,
    Task,
    Up,
    frame,
)
from imagebatch_server.executors.printed import PrintedLines
from imagebatch_server.executors.process import ChildProcess, ending

log = structlog.get_logger(__name__)

LEAST_RUN_S = 0.1
"""What is left at the least when an image has come: waiting for memory while it came is nobody's fault."""

SILENCE_S = 60.0
"""How long a child may take to come up, or to begin with a chunk."""

MOST_STRIKES = 5
"""Children that may die with the same item next and none begun; then it pays, for something in it must be why."""


@dataclass(frozen=True)
class ChildSettings:
    """What holds for every child."""

    operations: Mapping[str, str]
    """Import references, `module:Class`, by name."""
    warm: Sequence[str]
    max_image_pixels: int
    memory_bytes: int
    load_timeout_s: float


class LifeEvents(Protocol):
    """What is reported. Every attempt that was sent ends in `done`, `failed` or `returned`, if `run` is let finish."""

    def started(self, attempt: Attempt) -> None:
        """The child began with it."""

    def done(self, attempt: Attempt, done: Done) -> None:
        """The child has ended it."""

    def failed(self, attempt: Attempt, error: ItemError, run_s: float) -> None:
        """It took the child down, took too long, or its operation can't be loaded."""

    def returned(self, attempts: Sequence[Attempt]) -> None:
        """The child died before it began with them."""

    def progressed(self) -> None:
        """One or more of the above happened, or the child came to take chunks."""


class Life:
    """Starts a child and stays with it to the end. Belongs to one event loop."""

    def __init__(self, settings: ChildSettings, warm: Sequence[str], loads: LoadRecord, events: LifeEvents) -> None:
        """Start the child, which loads the operations in `warm` before it takes chunks. Raises OSError if it can't."""
        self._settings = settings
        self._loads = loads
        self._events = events
        self._held: deque[Attempt] = deque()
        self._last_chunk = 0
        self._loading: str | None = None
        self._started_at: float | None = None
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[str | None] = self._loop.create_future()
        self.loaded: list[str] = []
        """Operations that the child has loaded."""
        self.is_up = False
        """Whether the child ever spoke."""
        self.is_ready = False
        """Whether it takes chunks."""
        self._process = ChildProcess()
        self._printed = PrintedLines(self._process.printed, self._process.pid)
        self._channel = Channel(self._process.channel_end, self._hear, events.progressed, self._end)
        self._deadline = Deadline(self._overdue)
        self._deadline.set(SILENCE_S)
        start = Start(dict(settings.operations), list(warm), settings.max_image_pixels, settings.memory_bytes)
        self._channel.send([frame(start)])

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def last(self) -> Attempt | None:
        """The last attempt that was sent, if any has not ended."""
        return self._held[-1] if self._held else None

    @property
    def is_running(self) -> bool:
        """Whether the child is at an item, rather than loading or waiting."""
        return self._started_at is not None

    @property
    def held(self) -> int:
        """Attempts that were sent and have not ended."""
        return len(self._held)

    @property
    def chunks(self) -> int:
        """Chunks that these are of."""
        return self._last_chunk - self._held[0].chunk + 1 if self._held else 0

    async def run(self) -> str:
        """Wait for the end of the child and settle for what it held; answers how it ended.

        Cancelled, it ends the child and reports nothing more.
        """
        status: int | None = None
        try:
            why = await self._ended
        finally:
            self.is_ready = False
            self._channel.close()
            self._deadline.close()
            self._process.kill()
            status = await self._process.gone()
            self._printed.close()
        how = why or ending(status, self._settings.memory_bytes)
        self._settle(how, retired=status == EXIT_FULL)
        return how

    def send(self, attempts: Sequence[Attempt]) -> None:
        """Send a chunk: attempts at one operation with the same parameters. Only while `is_ready`."""
        self._last_chunk += 1
        for attempt in attempts:
            attempt.chunk = self._last_chunk
        if not self._held:
            self._deadline.set(SILENCE_S)
        self._held.extend(attempts)
        first = attempts[0].dispatch
        tasks = [
            Task(item.item_index, attempt.declared_type, item.metadata, len(attempt.data))
            for attempt in attempts
            for item in (attempt.dispatch.item,)
        ]
        chunk = frame(Chunk(first.operation, first.parameters, tasks))
        self._channel.send([chunk, *(attempt.data for attempt in attempts)])

    def _hear(self, message: FromChild) -> None:
        if isinstance(message, Done):
            self._hear_done(message)
        elif isinstance(message, Started):
            self._begin_next()
        elif isinstance(message, Loading):
            self._loading = message.operation
            self._deadline.set(self._settings.load_timeout_s)
        elif isinstance(message, Loaded):
            self._hear_loaded(message)
        elif isinstance(message, LoadFailed):
            self._hear_load_failed(message)
        elif isinstance(message, Up):
            self.is_up = True
        else:
            self.is_ready = True
            self._deadline.clear()

    def _hear_done(self, done: Done) -> None:
        if self._started_at is None:
            raise BadFrame("it answered without having begun")
        judge.check(done)
        attempt = self._held.popleft()
        self._started_at = None
        if not done.next_started:
            self._await_next()
        self._events.done(attempt, done)
        if done.next_started:
            self._begin_next()

    def _begin_next(self) -> None:
        if not self._held or self._started_at is not None:
            raise BadFrame("it began without having been asked to")
        attempt = self._held[0]
        self._started_at = self._loop.time()
        self._deadline.set(max(LEAST_RUN_S, attempt.dispatch.timeout_s - attempt.fetch_s))
        self._events.started(attempt)

    def _hear_loaded(self, loaded: Loaded) -> None:
        if self._loading is None:
            raise BadFrame("it loaded without having said so")
        log.info("operation loaded", operation=self._loading, seconds=loaded.seconds, worker_pid=self.pid)
        self._loads.loaded(self._loading)
        self.loaded.append(self._loading)
        self._loading = None
        self._deadline.set(SILENCE_S)

    def _hear_load_failed(self, failed: LoadFailed) -> None:
        if failed.traceback is not None:
            log.error("operation can't be loaded", operation=failed.operation, traceback=failed.traceback)
        self._loading = None
        error = judge.not_loaded(failed)
        chunk = self._held[0].chunk if self._held else None
        while self._held and self._held[0].chunk == chunk:
            self._events.failed(self._held.popleft(), error, 0.0)
        self._await_next()

    def _await_next(self) -> None:
        if self._held or not self.is_ready:
            self._deadline.set(SILENCE_S)
        else:
            self._deadline.clear()

    def _overdue(self) -> None:
        self._channel.drain()  # what the child said in time counts, however late this loop hears it
        if self._ended.done() or not self._deadline.has_passed:
            return
        if self._started_at is not None:
            attempt = self._held.popleft()
            run_s = self._loop.time() - self._started_at
            self._started_at = None
            self._end("was killed, because an item took too long")
            self._events.failed(attempt, judge.too_long(attempt), run_s)
        elif self._loading is not None:
            self._end(f"took more than {self._settings.load_timeout_s:g} s")
        else:
            self._end(f"said nothing for {SILENCE_S:g} s")

    def _end(self, why: str | None) -> None:
        """End the child; without a reason of ours, its exit status will tell."""
        if not self._ended.done():
            self.is_ready = False
            self._channel.close()
            self._deadline.close()
            self._process.kill()
            self._ended.set_result(why)

    def _settle(self, how: str, *, retired: bool) -> None:
        if self._loading is not None:
            self._loads.died(self._loading, how)
        elif self._started_at is not None:
            run_s = self._loop.time() - self._started_at
            self._events.failed(self._held.popleft(), judge.crash(how), run_s)
        elif self._held and not retired:
            self._held[0].strikes += 1
            if self._held[0].strikes >= MOST_STRIKES:
                self._events.failed(self._held.popleft(), judge.crash(how), 0.0)
        self._events.returned(list(self._held))
        self._held.clear()
        self._events.progressed()
