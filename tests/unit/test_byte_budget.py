"""Bytes that are taken are missing until they are given back, and who waits for that is told."""

from __future__ import annotations

import asyncio

from imagebatch_server.byte_budget import ByteBudget


async def test_what_is_taken_is_missing_until_it_is_given_back() -> None:
    budget = ByteBudget(100)
    budget.take(130)
    assert budget.free_bytes == -30, "a size that shows only when the bytes are here may pass the limit"
    waiting = asyncio.create_task(budget.given_back())
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.give_back(130)
    await waiting
    assert budget.free_bytes == 100
