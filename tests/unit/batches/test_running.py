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
            after_index, limit, *_ = read
            self.running.end_read(read, [item(index) for index in range(after_index + 1, TOTAL)[:limit]])

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


class PausedWalk(Walk):
    """Pause and resume as well, with reads that take time and find what has no outcome when they begin."""

    def __init__(self, running: RunningBatch, chance: random.Random) -> None:
        super().__init__(running, chance)
        self.pauses = 0
        self._late: list[tuple[int, Callable[[], None]]] = []
        """Reads that are under way, with the era in which they were begun."""

    def step(self) -> None:
        draw = self._chance.random()
        if self.running.paused:
            ends = [self.give_back, self.land] if self.running.in_flight else []
            ends += [self.record] if self.running.unrecorded else []
            self._chance.choice([*ends, self.end_a_read, self.resume])()
        elif draw < 0.02:
            self.pause()
        elif draw < 0.4:
            self.end_a_read()
        else:
            super().step()

    def read(self) -> None:
        read = self.running.begin_read()
        if read is not None:
            left = [index for index in range(read.after_index + 1, TOTAL) if index not in self.recorded]
            found = [item(index) for index in left[: read.limit]]
            self._late.append((read.era, lambda: self.running.end_read(read, found)))

    def bring_back(self) -> None:
        item_index = self.aside.pop(self._chance.randrange(len(self.aside)))
        self._late.append((self.running.era, lambda: self.running.bring_back([item(item_index)])))

    def end_a_read(self) -> None:
        if self._late:
            era, end = self._late.pop(self._chance.randrange(len(self._late)))
            if era == self.running.era:
                end()

    def pause(self) -> None:
        self.pauses += 1
        self.aside.clear()
        self.running.pause([each for each in self.running.dispatches() if self._chance.random() < 0.5])
        assert self.running.next_item is None
        assert self.running.begin_read() is None
        assert self.running.queued == 0

    def resume(self) -> None:
        self.running.resume()

    def give_back(self) -> None:
        dispatch = self._any(self.running.dispatches())
        before = self.running.attempts(dispatch.item.item_index)
        counts = self._chance.random() < 0.5
        self.running.give_back(dispatch, counts=counts)
        assert self.running.attempts(dispatch.item.item_index) == (dispatch.attempt if counts else before)


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


@pytest.mark.parametrize("seed", range(20))
def test_a_pause_loses_and_doubles_no_item(seed: int) -> None:
    walk = PausedWalk(running_batch(items=TOTAL, at_hand=20), random.Random(seed))
    known = walk.running
    while not known.is_empty:
        walk.step()
        here = [one.item_index for one in known._at_hand] + [*known._flights, *known._set_aside, *known._unrecorded]
        assert max(Counter([*here, *walk.recorded]).values(), default=0) <= 1
    assert walk.recorded == set(range(TOTAL))
    assert walk.pauses


def test_a_canary_goes_on_after_a_pause() -> None:
    running = running_batch(items=100, at_hand=0, canary=10)
    read = running.begin_read()
    assert read == Read(-1, 10, is_canary=True)
    running.end_read(read, [item(index) for index in range(0, 100, 10)])
    begun = running.depart(CHARGE)
    running.pause([])
    running.resume()
    assert running.begin_read() is None  # what is in flight of it ends first
    running.hand_over(Outcome(begun.item.item_index, BatchItemStatus.SUCCESS))
    running.recorded(running.batch, [begun.item.item_index])
    assert running.begin_read() == Read(-1, 9, is_canary=True, era=1)


def read_next(running: RunningBatch, found: Sequence[int]) -> tuple[int, int]:
    """Let the next read find these, and answer where it began, and how many it asked for."""
    read = running.begin_read()
    assert read is not None
    assert running.begin_read() is None  # one at a time
    running.end_read(read, [item(index) for index in found])
    return read.after_index, read.limit


def test_reads_grow_and_end_with_the_batch() -> None:
    running = running_batch(items=10_000, at_hand=0)
    assert read_next(running, range(FIRST_READ)) == (-1, FIRST_READ)
    assert read_next(running, range(FIRST_READ, 3 * FIRST_READ)) == (FIRST_READ - 1, 2 * FIRST_READ)
    assert running.begin_read() is None  # enough is at hand
    while running.next_item is not None:
        running.depart(CHARGE)
    assert read_next(running, []) == (3 * FIRST_READ - 1, 4 * FIRST_READ)
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
