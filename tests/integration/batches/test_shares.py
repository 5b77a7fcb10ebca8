"""A tenant with a thousand batches delays another's ten items by no more than one chunk or one item, the longer.

The scheduler and the queue before the workers are real, and time is counted instead of waited for.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from pathlib import Path

import pytest
from msgspec import structs
from tests.integration.batches.core import AnsweredExecutor, Core, core, succeed
from tests.unit.batches.samples import item

from imagebatch_server.batches.model import Dispatch
from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.attempts.backlog import Backlog
from imagebatch_server.executors.attempts.worker_pool import CHUNK_S
from imagebatch_server.executors.processes.ready_queue import Pace, ReadyQueue

CHUNK_MS = 250
"""The most work that design lets go in one piece."""


class CountedWorkers(AnsweredExecutor):
    """Workers that take a known time for each item, by a clock that goes on when a test lets an item end."""

    def __init__(self, workers: int, item_ms: int) -> None:
        super().__init__(succeed)
        self.now_ms = 0
        self._item_ms = item_ms
        pace = Pace()
        pace.observe("noop", item_ms / 1_000)
        self._ready = ReadyQueue(pace, {})
        self._backlog = Backlog(workers=workers, ahead_s=2 * CHUNK_S, least_items=2)
        self._waiting: dict[int, Attempt] = {}
        """Those that no worker has, by the id of their dispatch."""
        self._coming: list[Attempt] = []
        """Those whose images are being read: that lasts until an item ends."""
        self._chunks: list[deque[Attempt]] = [deque() for _ in range(workers)]
        self._ends_at = [0] * workers

    def submit(self, dispatch: Dispatch) -> None:
        self._backlog.add(self._item_ms / 1_000)
        self._waiting[id(dispatch)] = Attempt(dispatch, dispatch.operation, None)
        self._coming.append(self._waiting[id(dispatch)])

    def room(self, lane: str) -> int:
        return self._backlog.room(self._item_ms / 1_000)

    def first_turn_ms(self, lane: str) -> float:
        return self._ready.first_turn_ms()

    def last_turn_ms(self, lane: str) -> float:
        if self._item_ms < CHUNK_S * 1_000:
            return -math.inf
        return max((attempt.dispatch.turn_ms for attempt in self._waiting.values()), default=-math.inf)

    def _read(self) -> None:
        for attempt in self._coming:
            self._ready.add(attempt)
        self._coming.clear()

    def end_next(self) -> Dispatch:
        """Let the item end that ends next, and answer it."""
        if self._ready.next_operation() is None:
            self._read()
        for worker, chunk in enumerate(self._chunks):
            if not chunk:
                idle = sum(not other for other in self._chunks[worker:])
                chunk.extend(self._ready.take(idle))
                for attempt in chunk:
                    del self._waiting[id(attempt.dispatch)]
                self._ends_at[worker] = self.now_ms + self._item_ms
        self._read()
        worker = min((n for n, chunk in enumerate(self._chunks) if chunk), key=self._ends_at.__getitem__)
        self.now_ms = self._ends_at[worker]
        self._ends_at[worker] += self._item_ms
        dispatch = self._chunks[worker].popleft().dispatch
        self._backlog.remove(self._item_ms / 1_000)
        result = succeed(dispatch)
        outcome = structs.replace(result.outcome, processing_time_ms=self._item_ms)
        assert self.events is not None
        self.events.finished(structs.replace(result, outcome=outcome))
        return dispatch


async def turned() -> None:
    """Let the scheduler react to what it was told."""
    for _ in range(3):
        await asyncio.sleep(0)


async def until_ten_end_ms(running: Core, workers: CountedWorkers, operation: str) -> int:
    """Submit ten items of a tenant and answer how long it takes until they have ended."""
    began_ms = workers.now_ms
    few = [item(index) for index in range(10)]
    await running.submit(few, tenant="few", at_hand=10, operation=operation)
    ended = 0
    while ended < 10:
        await turned()
        ended += workers.end_next().tenant == "few"
    return workers.now_ms - began_ms


@pytest.mark.parametrize(
    ("item_ms", "count", "operation"),
    [
        (2, 1, "noop"),
        (30, 2, "noop"),
        (100, 4, "noop"),
        (1_000, 1, "noop"),
        (1_000, 2, "noop"),
        pytest.param(1_000, 2, "slow", id="the first of their operation"),
    ],
)
async def test_a_thousand_batches_hold_up_ten_items_by_a_chunk_at_most(
    tmp_path: Path, item_ms: int, count: int, operation: str
) -> None:
    alone = CountedWorkers(count, item_ms)
    async with core(tmp_path / "alone", executor=alone) as running:
        expected_ms = await until_ten_end_ms(running, alone, operation)
    workers = CountedWorkers(count, item_ms)
    async with core(tmp_path / "beside", executor=workers, max_running_batches=2_000) as running:
        for _ in range(1_000):
            await running.submit([item(index) for index in range(2)], tenant="many", at_hand=2)
        for _ in range(7):
            await turned()
            workers.end_next()
        delay_ms = await until_ten_end_ms(running, workers, operation) - expected_ms
    assert delay_ms <= max(CHUNK_MS, item_ms)
