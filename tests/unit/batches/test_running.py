"""An item of a running batch is in exactly one place, whatever happens to it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.unit.batches.samples import CHARGE, batch, item, running_batch

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches.model import Dispatch, Outcome
from imagebatch_server.batches.running import FIRST_READ, MAX_SET_ASIDE, Read, RunningBatch

TOTAL = 300


class Walk:
    """Do what a scheduler may do next with a batch, at random, and know what was recorded."""

    def __init__(self, running: RunningBatch, chance: random.Random) -> None:
        self.running = running
        self.recorded: set[int] = set()
        self.aside: list[int] = []
        self._chance = chance

    def step(self) -> None:
        running, moves = self.running, [self.read]
        if running.next_item is not None:
            moves += [self.depart, self.depart, self.depart, self.set_aside, self.skip_next]
        if running.in_flight:
            moves += [self.turn_back, self.land, self.land]
        if self.aside:
            moves.append(self.bring_back)
        if running.unrecorded:
            moves.append(self.record)
        self._chance.choice(moves)()

    def read(self) -> None:
        read = self.running.begin_read()
        if read is not None:
            after_index, limit = read
            self.running.end_read([item(index) for index in range(after_index + 1, TOTAL)[:limit]])

    def depart(self) -> None:
        self.running.depart(CHARGE)

    def set_aside(self) -> None:
        assert self.running.next_item is not None
        self.aside.append(self.running.next_item.item_index)
        assert self.running.set_aside()

    def skip_next(self) -> None:
        assert self.running.next_item is not None
        self.running.hand_over(Outcome(self.running.next_item.item_index, BatchItemStatus.SKIPPED))

    def turn_back(self) -> None:
        dispatch = self._any(self.running.dispatches())
        self.running.turn_back(dispatch)
        self.aside.append(dispatch.item.item_index)
        assert self.running.attempts(dispatch.item.item_index) == dispatch.attempt

    def land(self) -> None:
        dispatch = self._any(self.running.dispatches())
        self.running.hand_over(Outcome(dispatch.item.item_index, BatchItemStatus.SUCCESS))
        assert self.running.flight_of(dispatch) is None

    def bring_back(self) -> None:
        item_index = self.aside.pop(self._chance.randrange(len(self.aside)))
        self.running.bring_back([item(item_index)])

    def record(self) -> None:
        indexes = list(self.running._unrecorded)
        self.recorded.update(indexes)
        self.running.recorded(batch(total_items=TOTAL, successful_items=len(self.recorded)), indexes)

    def _any(self, dispatches: Sequence[Dispatch]) -> Dispatch:
        return self._chance.choice(dispatches)


def places(walk: Walk) -> Counter[int]:
    """In how many places each item is."""
    running = walk.running
    return Counter(
        [one.item_index for one in running._at_hand]
        + list(running._flights)
        + list(running._set_aside)
        + list(running._unrecorded)
        + list(walk.recorded)
        + list(range(running._last_read + 1, TOTAL))
    )


@pytest.mark.parametrize("seed", range(10))
def test_an_item_is_in_exactly_one_place(seed: int) -> None:
    walk = Walk(running_batch(items=TOTAL, at_hand=20), random.Random(seed))
    steps = 0
    while not walk.running.is_empty:
        walk.step()
        steps += 1
        assert places(walk) == Counter(range(TOTAL))
        assert walk.running.queued == TOTAL - len(walk.recorded) - walk.running.in_flight - walk.running.unrecorded
    assert walk.recorded == set(range(TOTAL))
    assert steps > TOTAL


def test_reads_grow_and_end_with_the_batch() -> None:
    running = running_batch(items=10_000, at_hand=0)
    assert running.begin_read() == Read(-1, FIRST_READ)
    assert running.begin_read() is None  # one at a time
    running.end_read([item(index) for index in range(FIRST_READ)])
    assert running.begin_read() == Read(FIRST_READ - 1, 2 * FIRST_READ)
    running.end_read([item(index) for index in range(FIRST_READ, 3 * FIRST_READ)])
    assert running.begin_read() is None  # enough is at hand
    while running.next_item is not None:
        running.depart(CHARGE)
    assert running.begin_read() == Read(3 * FIRST_READ - 1, 4 * FIRST_READ)
    running.end_read([])
    assert running.begin_read() is None  # no more is left


def test_so_many_items_wait_and_then_the_batch_waits_for_them() -> None:
    running = running_batch(items=MAX_SET_ASIDE + 1)
    assert [running.set_aside() for _ in range(MAX_SET_ASIDE + 1)] == [True] * MAX_SET_ASIDE + [False]
    stuck = running.is_stuck
    running.bring_back([item(0)])
    assert (stuck, running.is_stuck) == (True, False)
    assert running.next_item == item(0)


def ignore(_running: RunningBatch) -> None:
    """Let the batch be."""


def end(running: RunningBatch) -> None:
    """Let go of the batch."""
    running.end()


@pytest.mark.parametrize(("then", "in_flight"), [(ignore, 2), (end, 0)])
async def test_what_is_abandoned_keeps_what_was_begun(then: Callable[[RunningBatch], Any], in_flight: int) -> None:
    running = running_batch(items=10)
    begun, waiting = running.depart(CHARGE), running.depart(CHARGE)
    running.start(begun)
    assert running.started_indexes() == {0}
    assert running.abandon() == [waiting]
    assert running.next_item is None
    assert running.begin_read() is None
    then(running)
    assert running.in_flight == in_flight
    assert running.is_empty == (in_flight == 0)


async def test_an_ended_batch_keeps_nobody_waiting() -> None:
    running = running_batch(items=10)
    running.hand_over(Outcome(running.depart(CHARGE).item.item_index, BatchItemStatus.SUCCESS))
    waiting = asyncio.create_task(running.all_recorded())
    running.end()
    await waiting
    assert running.ended
