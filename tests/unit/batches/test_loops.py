"""A loop goes on whatever a step of it raises, until its block ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from imagebatch_server.batches import loops
from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.batches.loops import running


class Stepping:
    """Raise what it is told to, one thing a step, then wait for ever."""

    name = "stepping"

    def __init__(self, raised: Iterator[Exception]) -> None:
        self.all_raised = asyncio.Event()
        self.was_cancelled = False
        self._raised = raised

    async def step(self) -> None:
        for error in self._raised:
            raise error
        self.all_raised.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


async def test_neither_the_store_nor_a_defect_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "DEFECT_PAUSE_S", 0.0)
    loop = Stepping(iter([StoreUnavailable("away"), ZeroDivisionError(), StoreUnavailable("away")]))
    async with running(loop):
        await loop.all_raised.wait()
        assert not loop.was_cancelled
    assert loop.was_cancelled
