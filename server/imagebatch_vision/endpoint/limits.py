"""How much is asked of an endpoint at one time, whoever asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from imagebatch_server.operations import server_count

MOST_HOLD_S = 300.0
HOLD_WITHOUT_A_WORD_S = 1.0
"""How long an endpoint is left alone that says it is asked too much, but not for how long."""


class Limits:
    """So many requests under way, begun so far apart, and none while the endpoint wants to be left alone.

    The rate is of all servers together, each of which has an equal part of it; what is under way is this one's.
    """

    def __init__(
        self,
        concurrency: int,
        requests_per_minute: float | None,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        servers: Callable[[], int] = server_count,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._servers = servers
        self._free = asyncio.Semaphore(concurrency)
        self._apart_s = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._next_at = 0.0
        self._held_until = 0.0

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[None, None]:
        """Wait for leave to make one request."""
        async with self._free:
            await self.turn()
            yield

    def hold(self, seconds: float | None) -> None:
        """Begin nothing for so long, so that no attempts are wasted on an endpoint that was asked too much."""
        wait_s = HOLD_WITHOUT_A_WORD_S if seconds is None else min(seconds, MOST_HOLD_S)
        self._held_until = max(self._held_until, self._now() + wait_s)

    async def turn(self) -> None:
        """Wait until another request may begin; within a slot, for one more than its first."""
        while True:
            now = self._now()
            begins_at = max(now, self._next_at, self._held_until)
            self._next_at = begins_at + self._apart_s * self._servers()
            await self._sleep(begins_at - now)
            if self._held_until <= self._now():
                return
