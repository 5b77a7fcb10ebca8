"""One child from its start to its end: how it comes up, loads and ends. What it does in between its two kinds say."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from imagebatch_server.batches.errors import ItemError
from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.processes.channel import Channel
from imagebatch_server.executors.processes.child_output import ChildOutput
from imagebatch_server.executors.processes.child_process import ChildProcess, ending
from imagebatch_server.executors.processes.deadline import Deadline
from imagebatch_server.executors.processes.load_breaker import LoadBreaker
from imagebatch_server.executors.processes.ready_queue import Pace
from imagebatch_server.executors.protocol.frames import BadFrame, decode_from_child, frame
from imagebatch_server.executors.protocol.messages import (
    EXIT_FULL,
    Chunk,
    Done,
    FromChild,
    Loaded,
    LoadFailed,
    Loading,
    Message,
    Ready,
    Start,
    Task,
    Up,
)
from imagebatch_server.executors.protocol.outbox import Outbox, new_memory
from imagebatch_server.operations.configuration import Configuration

log = structlog.get_logger(__name__)

LEAST_RUN_S = 0.1
"""What is left at the least when an image has come: waiting for memory while it came is nobody's fault."""

SILENCE_S = 60.0
"""How long a child may take to come up, or to begin with a chunk."""


@dataclass(frozen=True)
class ChildSettings:
    """What holds for every child of a pool."""

    operations: Mapping[str, str]
    """Import references, `module:Class`, by name."""
    warm: Sequence[str]
    max_image_pixels: int
    memory_bytes: int
    load_timeout_s: float = 120.0
    concurrency: int | None = None
    """Items that a child has in flight; None: children are serial."""
    configuration: Configuration = field(default_factory=Configuration)
    servers: Callable[[], int] = lambda: 1
    """How many servers there are at a time."""
    makes_previews: bool = False


class SessionEvents(Protocol):
    """What is reported. Every attempt that was sent ends in `done`, `failed` or `returned`, if `run` is let finish."""

    def started(self, attempt: Attempt) -> None:
        """Hear that the child began with it."""

    def done(self, attempt: Attempt, done: Done) -> None:
        """Hear that the child has ended it."""

    def failed(self, attempt: Attempt, error: ItemError, run_s: float) -> None:
        """Hear that it took the child down, took too long, or its operation can't be loaded."""

    def returned(self, attempts: Sequence[Attempt]) -> None:
        """Hear that the child did not begin with them, or died with several begun."""

    def progressed(self) -> None:
        """One or more of the above happened, or the child came to take chunks."""


class ChildSession(ABC):
    """Start a child and stay with it to the end. Belongs to one event loop."""

    def __init__(
        self, settings: ChildSettings, warm: Sequence[str], load_breaker: LoadBreaker, events: SessionEvents
    ) -> None:
        """Start the child, which loads the operations in `warm` before it takes chunks. Raises OSError if it can't."""
        self._settings = settings
        self._load_breaker = load_breaker
        self._events = events
        self._last_chunk = 0
        self._loading: str | None = None
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[str | None] = self._loop.create_future()
        self.loaded: list[str] = []
        """Operations that the child has loaded."""
        self.is_up = False
        """Whether the child ever spoke."""
        self.is_ready = False
        """Whether it takes chunks."""
        outbox_fd = new_memory() if settings.concurrency is None else None
        try:
            self._process = ChildProcess("worker", outbox_fd)
            self._outbox = None if outbox_fd is None else Outbox(outbox_fd)
        finally:
            if outbox_fd is not None:
                os.close(outbox_fd)
        self._output = ChildOutput(self._process.printed, self._process.pid)
        self._channel = Channel(
            self._process.channel_end, decode_from_child, self._handle, events.progressed, self._end, self._outbox
        )
        self._deadline = Deadline(self._overdue)
        self._deadline.set(SILENCE_S)
        start = Start(
            dict(settings.operations),
            list(warm),
            settings.max_image_pixels,
            settings.memory_bytes,
            settings.concurrency is not None,
            settings.configuration,
            settings.makes_previews,
            outbox_fd,
        )
        self._channel.send([frame(start)])

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    @abstractmethod
    def held(self) -> int:
        """Attempts that were sent and have not ended."""

    @abstractmethod
    def takes_more(self, pace: Pace, *, goes_alone: bool) -> bool:
        """Whether the child, which has work, is to be sent the next chunk: an attempt that goes alone, or others."""

    @abstractmethod
    def forget(self, attempt: Attempt) -> None:
        """Nobody wants the attempt's result any more; the child may run it all the same."""

    @abstractmethod
    def take_back(self) -> None:
        """Have what the child has not begun returned, where that is not soon done."""

    async def run(self) -> str:
        """Wait for the end of the child and settle for what it held; answers how it ended.

        Cancelled, it ends the child and reports nothing more.
        """
        status: int | None = None
        try:
            why = await self._ended
        finally:
            self._close()
            status = await self._process.gone()
            self._output.close()
        how = why or ending(status, self._settings.memory_bytes)
        if self._loading is not None:
            self._load_breaker.died(self._loading, how)
        self._settle(how, retired=status == EXIT_FULL)
        self._events.progressed()
        return how

    def send(self, attempts: Sequence[Attempt]) -> None:
        """Send a chunk: attempts at one operation with the same parameters. Only while `is_ready`."""
        self._last_chunk += 1
        for attempt in attempts:
            attempt.chunk = self._last_chunk
        self._hold(attempts)
        first = attempts[0]
        tasks = [
            Task(item.item_index, attempt.declared_type, item.metadata, len(attempt.data))
            for attempt in attempts
            for item in (attempt.dispatch.item,)
        ]
        chunk = frame(Chunk(first.operation, first.dispatch.parameters, tasks, self._settings.servers()))
        self._channel.send([chunk, *(attempt.data for attempt in attempts)])

    @abstractmethod
    def _hold(self, attempts: Sequence[Attempt]) -> None:
        """Remember what is sent."""

    def _handle(self, message: FromChild) -> None:
        """Hear a message that is not about an item. Raises BadFrame for one that is."""
        if isinstance(message, Loading):
            self._loading = message.operation
            self._deadline.set(self._settings.load_timeout_s)
        elif isinstance(message, Loaded):
            self._handle_loaded(message)
        elif isinstance(message, LoadFailed):
            if message.traceback is not None:
                log.error("operation.load_failed", operation=message.operation, traceback=message.traceback)
            self._loading = None
            self._load_failed(message)
            self._await_next()
        elif isinstance(message, Up):
            self.is_up = True
        elif isinstance(message, Ready):
            self.is_ready = True
            self._deadline.clear()
        else:
            raise BadFrame(f"a child of this kind says no {type(message).__name__}")

    def _handle_loaded(self, loaded: Loaded) -> None:
        if self._loading is None:
            raise BadFrame("it loaded without having said so")
        log.info("operation.loaded", operation=self._loading, seconds=loaded.seconds, worker_pid=self.pid)
        self._load_breaker.loaded(self._loading)
        self.loaded.append(self._loading)
        self._loading = None
        self._await_next()

    @abstractmethod
    def _load_failed(self, failed: LoadFailed) -> None:
        """Hear that an operation can't be loaded."""

    @abstractmethod
    def _await_next(self) -> None:
        """Set the time for what the child has to say next, when no item is on the clock."""

    def _overdue(self) -> None:
        self._channel.drain()  # what the child said in time counts, however late this loop hears it
        if self._ended.done() or not self._deadline.has_passed:
            return
        if self._loading is not None:
            self._end(f"took more than {self._settings.load_timeout_s:g} s")
        else:
            self._end(f"said nothing for {SILENCE_S:g} s")

    def _send_message(self, message: Message) -> None:
        self._channel.send([frame(message)])

    def _end(self, why: str | None) -> None:
        """End the child; without a reason of ours, its exit status will tell."""
        if not self._ended.done():
            self._close()
            self._ended.set_result(why)

    def _close(self) -> None:
        self.is_ready = False
        self._channel.close()
        self._deadline.close()
        self._process.kill()

    @abstractmethod
    def _settle(self, how: str, *, retired: bool) -> None:
        """Report what becomes of all that the child held: it is gone."""
