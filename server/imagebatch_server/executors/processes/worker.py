"""A worker: a child process that is replaced whenever it dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from imagebatch_server.backoff import Backoff
from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.processes.child_session import ChildSession, ChildSettings, SessionEvents
from imagebatch_server.executors.processes.concurrent_session import ConcurrentSession
from imagebatch_server.executors.processes.load_breaker import LoadBreaker
from imagebatch_server.executors.processes.ready_queue import Pace
from imagebatch_server.executors.processes.serial_session import SerialSession

log = structlog.get_logger(__name__)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0


class Worker:
    """Supervise one child at a time. Belongs to one event loop."""

    def __init__(
        self,
        settings: ChildSettings,
        load_breaker: LoadBreaker,
        events: SessionEvents,
        on_start_failed: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._load_breaker = load_breaker
        self._events = events
        self._on_start_failed = on_start_failed
        self._begin_session = SerialSession if settings.concurrency is None else ConcurrentSession
        self._session: ChildSession | None = None
        self._warm = list(settings.warm)
        self.restarts = 0
        """Children that were replaced."""

    @property
    def pid(self) -> int | None:
        """The process id of its child, if it has one."""
        return self._session.pid if self._session is not None else None

    @property
    def is_ready(self) -> bool:
        """Whether its child takes chunks."""
        return self._session is not None and self._session.is_ready

    @property
    def has_come_up(self) -> bool:
        """Whether its child runs, be it still loading."""
        return self._session is not None and self._session.is_up

    @property
    def held(self) -> int:
        """Attempts that its child has."""
        return self._session.held if self._session is not None else 0

    def takes_more(self, pace: Pace, *, goes_alone: bool) -> bool:
        """Whether its child, although it has work, is to be sent the next chunk: one that goes alone, or not."""
        return (
            self._session is not None
            and self._session.held > 0
            and self._session.takes_more(pace, goes_alone=goes_alone)
        )

    def send(self, attempts: Sequence[Attempt]) -> None:
        """Send a chunk, while `is_ready`."""
        assert self._session is not None  # noqa: S101 - it is ready
        self._session.send(attempts)

    def forget(self, attempt: Attempt) -> None:
        """Let go of an attempt, if its child has it and can."""
        if self._session is not None:
            self._session.forget(attempt)

    def take_back(self) -> None:
        """Have what its child has not begun returned, where that is not soon done."""
        if self._session is not None:
            self._session.take_back()

    async def supervise(self) -> None:
        """Keep a child running until cancelled; then end it and report nothing more."""
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            came_up, how = await self._run_child()
            self.restarts += 1
            if came_up:
                log.warning("worker.replaced", how=how, restarts=self.restarts)
                backoff.reset()
                continue
            pause_s = backoff.next_s()
            log.error("worker.start_failed", how=how, again_in_s=pause_s)
            self._on_start_failed(how)
            await asyncio.sleep(pause_s)

    async def _run_child(self) -> tuple[bool, str]:
        try:
            # What an earlier child had loaded is loaded before chunks come, which other workers can run meanwhile.
            warm = self._load_breaker.safe(self._warm)
            self._session = session = self._begin_session(self._settings, warm, self._load_breaker, self._events)
        except OSError as error:
            return False, str(error)
        try:
            how = await session.run()
        finally:
            self._session = None
            self._warm = list(dict.fromkeys([*self._warm, *session.loaded]))
        return session.is_up, how
