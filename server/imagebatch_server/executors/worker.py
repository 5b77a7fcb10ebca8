"""A worker: a child process that is replaced whenever it dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from imagebatch_server.executors.attempt import Attempt
from imagebatch_server.executors.concurrent import ConcurrentLife
from imagebatch_server.executors.life import ChildSettings, Life, LifeEvents
from imagebatch_server.executors.loads import LoadRecord
from imagebatch_server.executors.ready import Pace
from imagebatch_server.executors.serial import SerialLife

log = structlog.get_logger(__name__)

_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 10.0


class Worker:
    """Supervises one child at a time. Belongs to one event loop."""

    def __init__(
        self,
        settings: ChildSettings,
        loads: LoadRecord,
        events: LifeEvents,
        on_start_failed: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._loads = loads
        self._events = events
        self._on_start_failed = on_start_failed
        self._begin_life = SerialLife if settings.concurrency is None else ConcurrentLife
        self._life: Life | None = None
        self._warm = list(settings.warm)
        self.restarts = 0
        """Children that were replaced."""

    @property
    def pid(self) -> int | None:
        """The process id of its child, if it has one."""
        return self._life.pid if self._life is not None else None

    @property
    def is_ready(self) -> bool:
        """Whether its child takes chunks."""
        return self._life is not None and self._life.is_ready

    @property
    def has_come_up(self) -> bool:
        """Whether its child runs, be it still loading."""
        return self._life is not None and self._life.is_up

    @property
    def held(self) -> int:
        """Attempts that its child has."""
        return self._life.held if self._life is not None else 0

    def takes_more(self, pace: Pace, *, goes_alone: bool) -> bool:
        """Whether its child, although it has work, is to be sent the next chunk: one that goes alone, or not."""
        return self._life is not None and self._life.held > 0 and self._life.takes_more(pace, goes_alone=goes_alone)

    def send(self, attempts: Sequence[Attempt]) -> None:
        """Send a chunk, while `is_ready`."""
        assert self._life is not None  # noqa: S101 - it is ready
        self._life.send(attempts)

    def forget(self, attempt: Attempt) -> None:
        """Let go of an attempt, if its child has it and can."""
        if self._life is not None:
            self._life.forget(attempt)

    def take_back(self) -> None:
        """Have what its child has not begun returned, where that is not soon done."""
        if self._life is not None:
            self._life.take_back()

    async def supervise(self) -> None:
        """Keep a child running until cancelled; then end it and report nothing more."""
        backoff_s = _FIRST_BACKOFF_S
        while True:
            came_up, how = await self._live()
            self.restarts += 1
            if came_up:
                log.warning("a worker is replaced", how=how, restarts=self.restarts)
                backoff_s = _FIRST_BACKOFF_S
                continue
            log.error("a worker can't start", how=how, again_in_s=backoff_s)
            self._on_start_failed(how)
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)

    async def _live(self) -> tuple[bool, str]:
        try:
            # What an earlier child had loaded is loaded before chunks come, which other workers can run meanwhile.
            warm = self._loads.safe(self._warm)
            self._life = life = self._begin_life(self._settings, warm, self._loads, self._events)
        except OSError as error:
            return False, str(error)
        try:
            how = await life.run()
        finally:
            self._life = None
            self._warm = list(dict.fromkeys([*self._warm, *life.loaded]))
        return life.is_up, how
