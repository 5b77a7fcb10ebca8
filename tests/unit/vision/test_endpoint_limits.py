"""How requests to an endpoint are let through, on a clock that moves when everybody sleeps."""

from __future__ import annotations

import asyncio

import pytest

from imagebatch_vision.endpoint.limits import HOLD_WITHOUT_A_WORD_S, MOST_HOLD_S, Limits


class Clock:
    """Stand in for `time.monotonic` and `asyncio.sleep`."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        wakes_at = self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, wakes_at)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limits(clock: Clock, requests_per_minute: float | None) -> Limits:
    return Limits(8, requests_per_minute, now=clock.monotonic, sleep=clock.sleep)


async def begin(some: Limits, clock: Clock) -> float:
    """Make one request; answers when it was begun, in seconds since the start."""
    async with some.slot():
        return clock.now - 1_000.0


async def test_without_a_rate_all_go_at_once(clock: Clock) -> None:
    some = limits(clock, None)
    assert [await begin(some, clock) for _ in range(3)] == [0.0, 0.0, 0.0]


async def test_a_rate_spreads_them_evenly(clock: Clock) -> None:
    some = limits(clock, 120)
    assert [await begin(some, clock) for _ in range(3)] == [0.0, 0.5, 1.0]
    clock.now += 10
    assert [await begin(some, clock) for _ in range(2)] == [11.0, 11.5], "time that nobody used is not saved up"


async def test_a_rate_is_of_all_servers_together(clock: Clock) -> None:
    servers = 4
    some = Limits(8, 120, now=clock.monotonic, sleep=clock.sleep, servers=lambda: servers)
    assert [await begin(some, clock) for _ in range(3)] == [0.0, 2.0, 4.0]
    servers = 1
    assert [await begin(some, clock) for _ in range(3)] == [6.0, 6.5, 7.0]


async def test_no_more_are_let_in_than_may_be_under_way() -> None:
    some = Limits(2, None)
    async with some.slot(), some.slot():
        third = asyncio.get_running_loop().create_task(some.slot().__aenter__())
        for _ in range(10):
            await asyncio.sleep(0)  # a turn of the loop, in which it could come in
        assert not third.done()
    await third


async def test_an_endpoint_is_left_alone_as_long_as_it_says(clock: Clock) -> None:
    some = limits(clock, None)
    some.hold(20.0)
    some.hold(5.0)
    assert await begin(some, clock) == 20.0
    some.hold(None)
    assert await begin(some, clock) == 20.0 + HOLD_WITHOUT_A_WORD_S
    some.hold(1e9)
    assert await begin(some, clock) == 20.0 + HOLD_WITHOUT_A_WORD_S + MOST_HOLD_S


async def test_what_waits_for_its_turn_when_the_endpoint_complains_waits_on(clock: Clock) -> None:
    some = limits(clock, 60)
    await begin(some, clock)
    waiting = asyncio.get_running_loop().create_task(begin(some, clock))
    await asyncio.sleep(0)
    some.hold(30.0)
    assert await waiting == 30.0
