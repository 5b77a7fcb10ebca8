"""The session of a serial child: it works through what it is sent in order, item by item or chunk by chunk."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice

from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.attempts.strikes import MOST_STRIKES
from imagebatch_server.executors.processes import failures
from imagebatch_server.executors.processes.child_session import (
    LEAST_RUN_S,
    SILENCE_S,
    ChildSession,
    ChildSettings,
    SessionEvents,
)
from imagebatch_server.executors.processes.load_breaker import LoadBreaker
from imagebatch_server.executors.processes.ready_queue import Pace
from imagebatch_server.executors.protocol.frames import BadFrame
from imagebatch_server.executors.protocol.messages import Done, FromChild, LoadFailed, Started

_LITTLE_S = 0.05
"""What is left of a chunk when the next is sent, so that the child never waits. Where an item takes longer, the child
does wait a moment: an item sent ahead would be stuck behind one that hangs.
"""


_LOOK_S = 0.05
"""How often a child that works is looked at for what it has said and not sent."""


class SerialSession(ChildSession):
    """Know which items are begun by their order: the first ones of what the child holds."""

    def __init__(
        self, settings: ChildSettings, warm: Sequence[str], load_breaker: LoadBreaker, events: SessionEvents
    ) -> None:
        self._held: deque[Attempt] = deque()
        self._begun = 0
        self._begun_at = 0.0
        self._looking: asyncio.TimerHandle | None = None
        super().__init__(settings, warm, load_breaker, events)

    @property
    def held(self) -> int:
        return len(self._held)

    def takes_more(self, pace: Pace, *, goes_alone: bool) -> bool:
        """When it has one chunk only, and little of it is left."""
        if not self.is_ready or not self._begun or self._last_chunk != self._held[0].chunk:
            return False
        return len(self._held) * pace.expected_s(self._held[-1].operation) <= _LITTLE_S

    def forget(self, attempt: Attempt) -> None:
        """Nothing to do: the child runs what it has in order, and hears nothing meanwhile."""

    def take_back(self) -> None:
        """Nothing to do: what it has is soon done."""

    def _hold(self, attempts: Sequence[Attempt]) -> None:
        if not self._held:
            self._deadline.set(SILENCE_S)
        self._held.extend(attempts)

    def _handle(self, message: FromChild) -> None:
        if isinstance(message, Done):
            self._handle_done(message)
        elif isinstance(message, Started):
            self._begin(message.tasks)
        else:
            super()._handle(message)

    def _handle_done(self, done: Done) -> None:
        if not self._begun:
            raise BadFrame("it answered without having begun")
        done = failures.checked(done, self._held[0])
        attempt = self._held.popleft()
        self._begun -= 1
        if not done.next_started and not self._begun:
            self._await_next()
        self._events.done(attempt, done)
        if done.next_started:
            self._begin(1)

    def _begin(self, count: int) -> None:
        if self._begun or not 0 < count <= len(self._held):
            raise BadFrame("it began without having been asked to")
        self._begun = count
        self._begun_at = self._loop.time()
        if self._looking is None and self._outbox is not None:
            self._looking = self._loop.call_later(_LOOK_S, self._look)
        if count == 1:
            first = self._held[0]
            self._deadline.set(max(LEAST_RUN_S, first.runs_for_s))
            self._events.started(first)
            return
        begun = tuple(islice(self._held, count))
        self._deadline.set(max(LEAST_RUN_S, min(attempt.runs_for_s for attempt in begun)))
        for attempt in begun:
            self._events.started(attempt)

    def _look(self) -> None:
        """Hear what the child ended before it came to what it works on, and has not sent because of that."""
        self._looking = None
        self._channel.look()
        if self._begun and not self._ended.done() and self._looking is None:
            self._looking = self._loop.call_later(_LOOK_S, self._look)

    def _load_failed(self, failed: LoadFailed) -> None:
        error = failures.not_loaded(failed)
        chunk = self._held[0].chunk if self._held else None
        while self._held and self._held[0].chunk == chunk:
            self._events.failed(self._held.popleft(), error, 0.0)

    def _await_next(self) -> None:
        if self._held or not self.is_ready:
            self._deadline.set(SILENCE_S)
        else:
            self._deadline.clear()

    def _overdue(self) -> None:
        # What the child said in time counts, however late this loop hears it.
        if not self._channel.look():
            self._deadline.set(_LOOK_S)
        if self._ended.done() or not self._deadline.has_passed:
            return
        if self._begun == 1:
            attempt = self._held.popleft()
            self._begun = 0
            self._end("was killed, because an item took too long")
            self._events.failed(attempt, failures.too_long(attempt), self._loop.time() - self._begun_at)
        elif self._begun:
            self._end("was killed, because a chunk took too long")
        else:
            super()._overdue()

    def _settle(self, how: str, *, retired: bool) -> None:
        if self._begun == 1:
            self._events.failed(self._held.popleft(), failures.crash(how), self._loop.time() - self._begun_at)
        elif self._begun:
            for attempt in islice(self._held, self._begun):
                attempt.suspected = True
        elif self._held and not retired and self._loading is None:
            self._held[0].strikes += 1
            if self._held[0].strikes >= MOST_STRIKES:
                self._events.failed(self._held.popleft(), failures.crash(how), 0.0)
        self._begun = 0
        self._events.returned(list(self._held))
        self._held.clear()
