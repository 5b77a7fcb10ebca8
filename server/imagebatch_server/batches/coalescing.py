"""Reads that callers of one moment share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class CoalescedReads(Generic[K, V]):
    """Read by key, with one read for all who ask before it begins.

    One read of a key is under way at a time; whoever asks meanwhile shares the next one. Nobody gets what was read
    before they asked, so a caller sees what was written before its call.
    """

    def __init__(self, read: Callable[[K], Awaitable[V]]) -> None:
        self._read = read
        self._under_way: dict[K, asyncio.Task[V]] = {}
        self._next: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        """Read one key. Raises what the read raises."""
        read = self._next.get(key)
        if read is None:
            read = self._next[key] = asyncio.create_task(self._read_in_turn(key))
        # Shielded: a caller that goes must not take the others' read with it.
        return await asyncio.shield(read)

    async def _read_in_turn(self, key: K) -> V:
        if key in self._under_way:
            await asyncio.wait([self._under_way[key]])
        this = self._under_way[key] = self._next.pop(key)
        try:
            return await self._read(key)
        finally:
            if self._under_way[key] is this:
                del self._under_way[key]
