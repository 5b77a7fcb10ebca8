"""The session of a concurrent child: many items in flight, which end in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.attempts.strikes import MOST_STRIKES
from imagebatch_server.executors.processes import failures
from imagebatch_server.executors.processes.child_session import (
    LEAST_RUN_S,
    ChildSession,
    ChildSettings,
    SessionEvents,
)
from imagebatch_server.executors.processes.load_breaker import LoadBreaker
from imagebatch_server.executors.processes.ready_queue import Pace
from imagebatch_server.executors.protocol.frames import BadFrame
from imagebatch_server.executors.protocol.messages import Begun, Cancel, Done, Ended, FromChild, LoadFailed, Retiring

YIELD_S = 2.0
"""How long an item may take to stop when its time is over; then its child is killed."""


@dataclass(slots=True)
class _Running:
    """An item that was begun."""

    at: float
    timer: asyncio.TimerHandle
    is_overdue: bool = False


class ConcurrentSession(ChildSession):
    """Every attempt is a chunk of its own, known to the child by the chunk's number."""

    def __init__(
        self, settings: ChildSettings, warm: Sequence[str], load_breaker: LoadBreaker, events: SessionEvents
    ) -> None:
        self._held: dict[int, Attempt] = {}
        self._running: dict[int, _Running] = {}
        self._asked_back: set[int] = set()
        self._most = settings.concurrency or 1
        super().__init__(settings, warm, load_breaker, events)

    @property
    def held(self) -> int:
        return len(self._held)

    def takes_more(self, pace: Pace, *, goes_alone: bool) -> bool:
        """As long as there is room, and neither what it has nor the next one goes alone."""
        if not self.is_ready or goes_alone or len(self._held) >= self._most:
            return False
        return not any(attempt.goes_alone for attempt in self._held.values())

    def forget(self, attempt: Attempt) -> None:
        if self._held.get(attempt.chunk) is attempt:
            self._ask_back(attempt.chunk)

    def take_back(self) -> None:
        for number in self._held:
            if number not in self._running:
                self._ask_back(number)

    def _ask_back(self, number: int) -> None:
        self._asked_back.add(number)
        self._send_message(Cancel(number))

    def _hold(self, attempts: Sequence[Attempt]) -> None:
        (attempt,) = attempts
        self._held[attempt.chunk] = attempt

    def _load_failed(self, failed: LoadFailed) -> None:
        """Nothing to do: the attempts that wait for the operation are answered one by one."""

    def _handle(self, message: FromChild) -> None:
        if isinstance(message, Ended):
            self._handle_ended(message.number, message.done)
        elif isinstance(message, Begun):
            self._begin(message.number)
        elif isinstance(message, Retiring):
            self.is_ready = False
        else:
            super()._handle(message)

    def _begin(self, number: int) -> None:
        attempt = self._held.get(number)
        if attempt is None or number in self._running:
            raise BadFrame("it began without having been asked to")
        seconds = max(LEAST_RUN_S, attempt.runs_for_s)
        timer = self._loop.call_later(seconds, self._time_is_over, number)
        self._running[number] = _Running(self._loop.time(), timer)
        self._events.started(attempt)

    def _handle_ended(self, number: int, done: Done | None) -> None:
        attempt = self._held.get(number)
        if attempt is None:
            raise BadFrame("it ended what it had not been sent")
        if done is not None:
            done = failures.checked(done, attempt)
        del self._held[number]
        running = self._running.pop(number, None)
        if running is not None:
            running.timer.cancel()
        asked_back = number in self._asked_back
        self._asked_back.discard(number)
        if done is not None and (
            done.outcome.output_data is not None or not (asked_back or (running and running.is_overdue))
        ):
            self._events.done(attempt, done)
        elif running is not None and not asked_back:
            self._events.failed(attempt, failures.too_long(attempt), self._loop.time() - running.at)
        else:
            self._events.returned([attempt])

    def _time_is_over(self, number: int) -> None:
        self._channel.drain()  # what the child said in time counts, however late this loop hears it
        running = self._running.get(number)
        if running is None or self._ended.done():
            return
        if running.is_overdue:
            self._end("was killed, because an item did not stop when its time was over")
            return
        running.is_overdue = True
        running.timer = self._loop.call_later(YIELD_S, self._time_is_over, number)
        self._send_message(Cancel(number))

    def _await_next(self) -> None:
        self._deadline.clear()

    def _settle(self, how: str, *, retired: bool) -> None:
        if len(self._running) == 1:
            ((number, running),) = self._running.items()
            attempt = self._held.pop(number)
            error = failures.too_long(attempt) if running.is_overdue else failures.crash(how)
            self._events.failed(attempt, error, self._loop.time() - running.at)
        elif self._running:
            for number in self._running:
                self._held[number].suspected = True
        elif self._held and not retired and self._loading is None:
            first = next(iter(self._held))
            self._held[first].strikes += 1
            if self._held[first].strikes >= MOST_STRIKES:
                self._events.failed(self._held.pop(first), failures.crash(how), 0.0)
        for running in self._running.values():
            running.timer.cancel()
        self._running.clear()
        self._events.returned(list(self._held.values()))
        self._held.clear()
