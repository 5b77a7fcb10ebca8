"""An item that takes its child down pays alone, whatever way it does it, and the pool heals."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.integration.executors.harness import MIB, Bench, bench, eventually, output, png, runs, took_ms

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.model import Dispatch

CRASHES = {
    "crash": "was killed by SIGSEGV",
    "abort": "was killed by SIGABRT",
    "kill": "was killed by SIGKILL",
    "exit": "exited with status 3",
    "exhaust": "ran out of memory (its limit is 512 MiB)",
    "exhaust-in-c": "was killed by SIGSEGV",
}
HANGS = ["hang", "backtrack"]


async def _run_among_others(on: Bench, poison: dict[str, Any], timeout_s: float) -> int:
    """Run one chunk with poison in the middle; answers the poison's index. All others must have succeeded unharmed."""
    await on.warm_up()
    first = on.submitted
    for _ in range(4):
        on.submit()
    poisoned = on.submit(poison, timeout_s=timeout_s).item.item_index
    for _ in range(4):
        on.submit()
    results = await on.recorded.finish(on.submitted)
    others = [index for index in range(first, on.submitted) if index != poisoned]
    pids = {index: output(results[index])["pid"] for index in others}
    assert len({pids[index] for index in others if index < poisoned}) == 1
    assert len({pids[index] for index in others if index > poisoned}) == 1
    assert pids[others[0]] != pids[others[-1]], "they were in one chunk, and a second child ran the rest of it"
    for index in range(first, on.submitted):
        assert on.recorded.names_of(index) == ["started", "finished"]
    return poisoned


@pytest.mark.parametrize("deed", CRASHES)
async def test_a_crash_costs_one_item(deed: str) -> None:
    async with bench(memory_bytes=512 * MIB) as on:
        poisoned = await _run_among_others(on, {"do": deed}, 30)
        result = on.recorded.results[poisoned]
        assert result.outcome.error_code is ItemErrorCode.WORKER_CRASHED
        assert result.transient
        assert CRASHES[deed] in (result.outcome.error_message or "")
        assert on.executor.restarts == 1
        assert on.executor.alive == 1


@pytest.mark.parametrize("deed", HANGS)
async def test_a_hang_in_native_code_costs_one_item(deed: str) -> None:
    async with bench() as on:
        poisoned = await _run_among_others(on, {"do": deed}, 0.5)
        result = on.recorded.results[poisoned]
        assert result.outcome.error_code is ItemErrorCode.TIMEOUT
        assert result.transient
        assert "longer than 0.5 s" in (result.outcome.error_message or "")
        assert 500 <= took_ms(result) < 5_000
        assert on.executor.restarts == 1


async def test_what_ended_before_a_hang_is_heard_while_it_lasts() -> None:
    async with bench() as on:
        await on.warm_up()
        done = len(on.recorded.results)
        for _ in range(4):
            on.submit()
        poisoned = on.submit({"do": "hang"}, timeout_s=30.0).item.item_index
        await on.recorded.until(lambda: "started" in on.recorded.names_of(poisoned), timeout_s=10.0)
        assert len(on.recorded.results) == done + 4


async def test_every_other_item_of_a_chunk_is_poison() -> None:
    async with bench(workers=2) as on:
        await on.warm_up()
        first = on.submitted
        for index in range(20):
            on.submit({"do": "kill"} if index % 2 else None)
        results = await on.recorded.finish(on.submitted)
        codes = [results[index].outcome.error_code for index in range(first, on.submitted)]
        assert codes == [None, ItemErrorCode.WORKER_CRASHED] * 10
        await eventually(lambda: on.executor.restarts == 10)


async def test_a_second_attempt_may_succeed(tmp_path: Path) -> None:
    script = {"do": "once", "marker": str(tmp_path / "marker")}
    async with bench() as on:
        assert (await on.run(script)).outcome.error_code is ItemErrorCode.WORKER_CRASHED
        assert (await on.run(script)).outcome.error_code is None


async def test_a_death_between_items_is_charged_to_nobody() -> None:
    async with bench() as on:
        before = output(await on.run())["pid"]
        os.kill(before, signal.SIGKILL)
        after = output(await on.run())["pid"]
        assert after != before
        assert on.executor.restarts == 1


async def test_nothing_is_lost_or_doubled_while_children_are_killed_at_random() -> None:
    chance = random.Random(4)
    items, kills = 3_000, 0
    async with bench(workers=2) as on:

        def kill_sometimes(name: str, _: Dispatch) -> None:
            nonlocal kills
            if name == "started" and chance.random() < 0.004:
                kills += 1
                os.kill(chance.choice(on.pids()), signal.SIGKILL)

        on.recorded.on_event = kill_sometimes
        while len(on.recorded.results) < items:
            while on.submitted < items and on.executor.room():
                url = None if on.submitted % 5 else "http://ok/"
                on.submit(operation="noop", url=url, batch_id=str(on.submitted % 3))
            seen = len(on.recorded.events)
            await on.recorded.until(lambda: len(on.recorded.events) > seen)  # noqa: B023 - awaited here
        codes = Counter(result.outcome.error_code for result in on.recorded.results.values())
        assert set(codes) <= {None, ItemErrorCode.WORKER_CRASHED}
        assert codes[ItemErrorCode.WORKER_CRASHED] <= kills
        assert kills > 5
        for index in range(items):
            assert on.recorded.names_of(index)[-2:] == ["started", "finished"]
        assert on.executor._budget.free_bytes == 64 * MIB
        assert not on.executor._attempts


async def test_an_image_that_kills_the_child_before_it_begins_pays_in_the_end() -> None:
    async with bench(memory_bytes=128 * MIB, max_image_bytes=300 * MIB, max_ready_bytes=600 * MIB) as on:
        await on.warm_up()
        on.blobs.blobs["tenant.huge"] = bytes(200 * MIB)
        huge = on.submit(key="tenant.huge")
        neighbours = [on.submit() for _ in range(5)]
        results = await on.recorded.finish(on.submitted)
        assert results[huge.item.item_index].outcome.error_code is ItemErrorCode.WORKER_CRASHED
        assert "ran out of memory" in (results[huge.item.item_index].outcome.error_message or "")
        for neighbour in neighbours:
            assert results[neighbour.item.item_index].outcome.error_code is None


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\xff\xff\x7f",  # a frame of 2 GiB
        b"\x03\0\0\0\x91\xa2hi",  # no message
        b"\x06\0\0\0\x91\xa5Ready" + b"\x09\0\0\0\x91\xa7Started",  # a message, and one that can't be true
    ],
)
async def test_a_child_that_was_taken_over_is_replaced(said: bytes) -> None:
    async with bench() as on:
        result = await on.run({"do": "babble", "bytes": said.hex()})
        assert result.outcome.error_code is ItemErrorCode.WORKER_CRASHED
        assert output(await on.run())["format"] == "png"


async def test_what_an_operation_started_ends_with_it(tmp_path: Path) -> None:
    async with bench() as on:
        script = {"do": "spawn-and-hang", "pid": str(tmp_path / "pid")}
        assert (await on.run(script, timeout_s=1.0)).outcome.error_code is ItemErrorCode.TIMEOUT
        pid = int((tmp_path / "pid").read_text())
        await eventually(lambda: not runs(pid))


async def test_a_child_that_holds_on_to_memory_is_replaced_before_an_item_pays() -> None:
    async with bench(memory_bytes=512 * MIB) as on:
        hoarder = output(await on.run({"do": "hoard", "bytes": 400 * MIB}))["pid"]
        results = [await on.run() for _ in range(3)]
        assert hoarder not in {output(result)["pid"] for result in results}
        assert on.executor.restarts == 1


async def test_a_bomb_fails_by_its_header() -> None:
    async with bench(max_image_pixels=1_000) as on:
        on.blobs.blobs["tenant.large"] = png(100, 100)
        assert (await on.run(key="tenant.large")).outcome.error_code is ItemErrorCode.TOO_LARGE
        assert on.executor.restarts == 0
