"""Downloads share their memory without waiting for one another for ever."""

from __future__ import annotations

import asyncio

import pytest

from imagebatch_server.images.budget import MemoryBudget


async def test_what_is_free_is_taken_at_once_and_given_back() -> None:
    budget = MemoryBudget(100)
    with budget.share() as one, budget.share() as other:
        assert budget.try_take(one, 60)
        assert budget.try_take(other, 40)
        assert (one.held_bytes, other.held_bytes) == (60, 40)
    with budget.share() as third:
        assert budget.try_take(third, 100)


async def test_one_at_a_time_may_go_on_when_nothing_is_left() -> None:
    budget = MemoryBudget(100)
    with budget.share() as second:
        with budget.share() as first:
            assert budget.try_take(first, 60)
            assert budget.try_take(second, 40)
            assert budget.try_take(first, 1)
            assert not budget.try_take(second, 1)
            assert budget.try_take(first, 500)
            waiting = asyncio.create_task(budget.take(second, 30))
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting
        assert second.held_bytes == 70
        assert budget.try_take(second, 30)


async def test_many_greedy_downloads_all_finish_within_the_bound() -> None:
    budget = MemoryBudget(1000)
    held = peak = 0

    async def download() -> None:
        nonlocal held, peak
        with budget.share() as share:
            for _ in range(30):
                await budget.take(share, 10)
                held += 10
                peak = max(peak, held)
                await asyncio.sleep(0)
            held -= share.held_bytes

    await asyncio.gather(*(download() for _ in range(50)))
    assert 900 < peak <= 1000 + 300
    with budget.share() as share:
        assert budget.try_take(share, 1000)
        assert budget.try_take(share, 1)


async def test_a_cancelled_waiter_holds_nothing() -> None:
    budget = MemoryBudget(10)

    async def wait_for_more() -> None:
        with budget.share() as share:
            await budget.take(share, 20)

    with budget.share() as first:
        assert budget.try_take(first, 15)
        waiting = asyncio.create_task(wait_for_more())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    with budget.share() as last:
        assert budget.try_take(last, 10)
        assert last.held_bytes == 10
