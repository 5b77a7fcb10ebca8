"""A limit on the bytes that all downloads together hold in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(eq=False)
class Share:
    """What one download holds; only its budget changes it."""

    held_bytes: int = 0


class MemoryBudget:
    """Bytes are taken as they arrive, so that a slow host holds only what it has sent.

    Downloads that hold a part each and wait for more would wait for ever, so one at a time may go on when nothing is
    left. In memory are therefore at most `max_bytes` and one image more. Belongs to one event loop.
    """

    def __init__(self, max_bytes: int) -> None:
        self._free_bytes = max_bytes
        self._exempt: Share | None = None
        self._given_back = asyncio.Event()

    @contextmanager
    def share(self) -> Iterator[Share]:
        """One download's part of the budget, given back at the end of the block."""
        share = Share()
        try:
            yield share
        finally:
            self._free_bytes += share.held_bytes
            if self._exempt is share:
                self._exempt = None
            self._given_back.set()
            self._given_back = asyncio.Event()

    def try_take(self, share: Share, size_bytes: int) -> bool:
        """Take bytes if that is possible at once."""
        if self._free_bytes < size_bytes:
            if self._exempt is None:
                self._exempt = share
            if self._exempt is not share:
                return False
        self._free_bytes -= size_bytes
        share.held_bytes += size_bytes
        return True

    async def take(self, share: Share, size_bytes: int) -> None:
        """Take bytes, waiting until that is possible."""
        while not self.try_take(share, size_bytes):
            await self._given_back.wait()
