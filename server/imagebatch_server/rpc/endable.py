"""Calls that go on for long, and can be ended from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imagebatch_server.batches.errors import RequestError


class Endable:
    """What `end` ends: whatever is under way within `until_ended`, or comes to it next."""

    def __init__(self) -> None:
        self._error: RequestError | None = None
        self._clock: asyncio.Timeout | None = None

    def end(self, error: RequestError) -> None:
        """End it with an error, at once if it is where it can be ended."""
        self._error = error
        if self._clock is not None:
            self._clock.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def until_ended(self) -> AsyncIterator[None]:
        """Raise what it is ended with while the block runs."""
        try:
            async with asyncio.timeout(0 if self._error else None) as self._clock:
                yield
        except TimeoutError:
            if self._error is None:
                raise
            raise self._error from None
        finally:
            self._clock = None
