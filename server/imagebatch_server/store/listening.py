"""The one connection that listens to other servers' notifications.

It must lead straight to PostgreSQL: what LISTENs through a pooler that lends sessions for a transaction gets nothing,
and no error. So a server sends probes to itself, and knows by one that does not come back that it is deaf.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import structlog

from imagebatch_server.backoff import Backoff
from imagebatch_server.batches.errors import StoreUnavailable

log = structlog.get_logger(__name__)

CHANNEL = "imagebatch_news"
PROBE_EVERY_S = 5.0
OVERDUE_S = 5.0
"""A probe that is away so long does not come back."""

LOOK_EVERY_S = 1.0
"""Between two looks for a probe that is lost."""

RETRY_FIRST_S = 0.1
RETRY_MOST_S = 5.0


class Hearing:
    """Whether notifications arrive, by probes that are sent and come back. Times are seconds on a monotonic clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._number = 0
        self._sent_at: float | None = None
        """When the first probe was sent that did not come back; None if the last one has."""
        self._due_at = 0.0
        self.is_sure = False
        """Whether a probe has come back on this connection."""

    def begin(self) -> None:
        """Begin anew, with another connection, or none."""
        self._sent_at, self._due_at, self.is_sure = None, 0.0, False

    @property
    def is_due(self) -> bool:
        """Whether it is time for another probe."""
        return self._clock() >= self._due_at

    @property
    def is_lost(self) -> bool:
        """Whether a probe should have come back and did not."""
        return self._sent_at is not None and self._clock() - self._sent_at > OVERDUE_S

    def sent(self) -> int:
        """Count a probe; answers its number."""
        now = self._clock()
        self._number += 1
        self._due_at = now + PROBE_EVERY_S
        if self._sent_at is None:
            self._sent_at = now
        return self._number

    def came_back(self, number: int) -> None:
        """Note a probe that was heard; an earlier connection's tells nothing."""
        if number == self._number:
            self._sent_at, self.is_sure = None, True


class Listening:
    """A loop that keeps listening, on another connection when one is lost or proves deaf."""

    name = "listening"

    def __init__(
        self,
        notifications: Callable[[str, float], AsyncGenerator[str | None, None]],
        heard: Callable[[str], None],
        begun: Callable[[], None],
    ) -> None:
        """`heard` takes each payload; `begun` is called whenever it begins to listen: what was before is lost."""
        self._notifications = notifications
        self._heard = heard
        self._begun = begun
        self._hearing = Hearing()
        self._is_listening = False
        self._is_said = False
        """Whether the log has it that nothing is heard."""
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)

    @property
    def hears(self) -> bool:
        """Whether notifications are known to arrive."""
        return self._hearing.is_sure

    @property
    def is_probe_due(self) -> bool:
        """Whether a probe should be sent now."""
        return self._is_listening and self._hearing.is_due

    def probe(self) -> int:
        """Note that a probe is sent; answers its number."""
        return self._hearing.sent()

    def came_back(self, number: int) -> None:
        """Note that a probe was heard."""
        self._hearing.came_back(number)
        if self._hearing.is_sure:
            self._backoff.reset()
            if self._is_said:
                self._is_said = False
                log.info("news.heard_again")

    async def step(self) -> None:
        """Listen on one connection until it is lost or proves deaf."""
        try:
            async with aclosing(self._notifications(CHANNEL, LOOK_EVERY_S)) as notifications:
                await self._follow(notifications)
            if self._is_news():
                log.warning("news.not_heard", after_s=OVERDUE_S)
        except StoreUnavailable as error:
            if self._is_news():
                log.warning("news.connection_lost", why=str(error))
        finally:
            self._is_listening = False
            self._hearing.begin()
        await asyncio.sleep(self._backoff.next_s())

    async def _follow(self, notifications: AsyncGenerator[str | None, None]) -> None:
        """Hear until a probe is lost."""
        async for payload in notifications:
            if payload is not None:
                self._heard(payload)
            elif not self._is_listening:
                self._is_listening = True
                self._begun()
            elif self._hearing.is_lost:
                return

    def _is_news(self) -> bool:
        """Whether it is not yet said that nothing is heard."""
        was_said, self._is_said = self._is_said, True
        return not was_said
