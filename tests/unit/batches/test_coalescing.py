"""Callers of one moment share a read, and nobody gets what was read before they asked."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from imagebatch_server.batches.coalescing import CoalescedReads


class Source:
    """Something to read: each read answers the value at its beginning, once `released`."""

    def __init__(self) -> None:
        self.value = 0
        self.reads = 0
        self.released = asyncio.Event()
        self._begun: dict[int, asyncio.Event] = defaultdict(asyncio.Event)

    async def read(self, key: str) -> tuple[str, int]:
        self.reads += 1
        self._begun[self.reads].set()
        seen = self.value
        await self.released.wait()
        if key == "missing":
            raise KeyError(key)
        return key, seen

    async def begun(self, reads: int) -> None:
        """Wait until so many reads have begun."""
        await self._begun[reads].wait()


async def test_who_asks_at_one_moment_shares_a_read_and_who_comes_later_gets_the_next() -> None:
    source = Source()
    reads = CoalescedReads(source.read)
    first = [asyncio.create_task(reads.get("a")) for _ in range(100)]
    await source.begun(1)
    source.value = 1
    second = [asyncio.create_task(reads.get("a")) for _ in range(100)]
    other = asyncio.create_task(reads.get("b"))
    await source.begun(2)
    source.released.set()
    assert set(await asyncio.gather(*first)) == {("a", 0)}
    assert set(await asyncio.gather(*second)) == {("a", 1)}
    assert await other == ("b", 1)
    assert source.reads == 3


async def test_a_caller_that_goes_leaves_the_read_to_the_others() -> None:
    source = Source()
    reads = CoalescedReads(source.read)
    gone, stays = (asyncio.create_task(reads.get("a")) for _ in range(2))
    await source.begun(1)
    gone.cancel()
    source.released.set()
    assert await stays == ("a", 0)
    assert gone.cancelled()


async def test_everyone_is_told_of_an_error_and_the_next_read_is_made_anew() -> None:
    source = Source()
    source.released.set()
    reads = CoalescedReads(source.read)
    assert all(
        isinstance(error, KeyError)
        for error in await asyncio.gather(*(reads.get("missing") for _ in range(3)), return_exceptions=True)
    )
    with pytest.raises(KeyError):
        await reads.get("missing")
    assert source.reads == 2
