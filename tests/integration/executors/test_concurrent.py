"""Asynchronous operations: many items in flight in one child, and who pays when it dies or an item does not stop."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.integration.executors.harness import MIB, Bench, bench, eventually, output, took_ms

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.model import AttemptResult, Dispatch


@asynccontextmanager
async def concurrent_bench(concurrency: int = 16, **settings: Any) -> AsyncGenerator[Bench, None]:
    async with bench(concurrency=concurrency, **settings) as on:
        yield on


def wait_for(path: Path) -> dict[str, Any]:
    """Metadata of an item that waits until a file is there."""
    return {"wait": "file", "until": str(path)}


async def begun(on: Bench, *dispatches: Dispatch) -> None:
    """Wait until so many items were begun and have not ended."""
    await on.recorded.until(
        lambda: all(on.recorded.names_of(one.item.item_index)[-1:] == ["started"] for one in dispatches)
    )


def waiters(on: Bench, gate: Path, count: int, **how: Any) -> list[Dispatch]:
    """Submit items that wait until the gate is there."""
    return [on.submit(wait_for(gate), operation="awaiting", **how) for _ in range(count)]


async def results_of(on: Bench, dispatches: list[Dispatch]) -> list[AttemptResult]:
    indexes = [dispatch.item.item_index for dispatch in dispatches]
    await on.recorded.until(lambda: all(index in on.recorded.results for index in indexes))
    return [on.recorded.results[index] for index in indexes]


async def test_items_are_in_flight_at_once_in_one_process(tmp_path: Path) -> None:
    async with concurrent_bench(8) as on:
        assert on.pids() == [], "nothing runs before it is needed"
        together = waiters(on, tmp_path / "gate", 8)
        more = waiters(on, tmp_path / "gate", 3)
        await begun(on, *together)
        assert [on.recorded.names_of(one.item.item_index) for one in more] == [[], [], []], "8 is the limit"
        (tmp_path / "gate").touch()
        results = await results_of(on, together + more)
        assert len({output(result)["pid"] for result in results}) == 1


async def test_an_operation_is_told_how_many_servers_there_are() -> None:
    servers = 3
    async with concurrent_bench(servers=lambda: servers) as on:
        assert output(await on.run(operation="counts-servers"))["word"] == "3"
        servers = 2
        assert output(await on.run(operation="counts-servers"))["word"] == "2"


async def test_an_item_that_is_done_is_reported_while_others_wait(tmp_path: Path) -> None:
    async with concurrent_bench() as on:
        slow = waiters(on, tmp_path / "gate", 3)
        await begun(on, *slow)
        assert output(await on.run(operation="awaiting", parameters={"word": "quick"}))["word"] == "quick"
        (tmp_path / "gate").touch()
        await results_of(on, slow)


async def test_of_several_that_were_begun_only_the_one_that_dies_alone_pays(tmp_path: Path) -> None:
    async with concurrent_bench() as on:
        innocent = waiters(on, tmp_path / "gate", 5)
        await begun(on, *innocent)
        poison = on.submit({"do": "crash"}, operation="awaiting")
        await eventually(lambda: on.executor.restarts == 1)
        assert not on.recorded.results
        (tmp_path / "gate").touch()
        results = await results_of(on, [*innocent, poison])
        assert [result.outcome.error_code for result in results] == [None] * 5 + [ItemErrorCode.WORKER_CRASHED]
        assert "SIGSEGV" in (results[-1].outcome.error_message or "")
        assert on.executor.restarts == 2
        for one in (*innocent, poison):
            assert on.recorded.names_of(one.item.item_index) == ["started", "started", "finished"]


async def test_another_attempt_at_an_item_that_paid_goes_alone_from_the_start(tmp_path: Path) -> None:
    async with concurrent_bench() as on:
        poison = on.submit({"do": "kill"}, operation="awaiting")
        (first,) = await results_of(on, [poison])
        assert first.outcome.error_code is ItemErrorCode.WORKER_CRASHED
        innocent = waiters(on, tmp_path / "gate", 3)
        await begun(on, *innocent)
        del on.recorded.results[poison.item.item_index]
        on.executor.submit(structs.replace(poison, attempt=2))
        behind = waiters(on, tmp_path / "gate", 2)
        (tmp_path / "gate").touch()
        results = await results_of(on, [*innocent, poison, *behind])
        assert [result.outcome.error_code for result in results] == [None] * 3 + [ItemErrorCode.WORKER_CRASHED] + [
            None
        ] * 2
        for one in (*innocent, *behind):
            assert on.recorded.names_of(one.item.item_index) == ["started", "finished"]


async def test_memory_that_runs_out_is_charged_to_the_item_that_took_it(tmp_path: Path) -> None:
    async with concurrent_bench(memory_bytes=512 * MIB) as on:
        innocent = waiters(on, tmp_path / "gate", 2)
        await begun(on, *innocent)
        hoarder = on.submit({"do": "exhaust"}, operation="awaiting")
        await eventually(lambda: on.executor.restarts == 1)
        (tmp_path / "gate").touch()
        results = await results_of(on, [*innocent, hoarder])
        assert [result.outcome.error_code for result in results] == [None, None, ItemErrorCode.WORKER_CRASHED]
        assert "ran out of memory" in (results[-1].outcome.error_message or "")


async def test_a_child_that_fills_up_ends_what_it_has_and_is_replaced(tmp_path: Path) -> None:
    async with concurrent_bench(memory_bytes=512 * MIB) as on:
        waiting = waiters(on, tmp_path / "gate", 2)
        await begun(on, *waiting)
        hoarder = on.submit({"do": "hoard", "bytes": 400 * MIB}, operation="awaiting")
        (hoarded,) = await results_of(on, [hoarder])
        await eventually(lambda: on.executor.alive == 0)
        later = on.submit(operation="awaiting")
        (tmp_path / "gate").touch()
        results = await results_of(on, [*waiting, later])
        pids = [output(result)["pid"] for result in (hoarded, *results)]
        assert pids[0] == pids[1] == pids[2] != pids[3]
        assert on.executor.restarts == 1


async def test_an_item_whose_time_is_over_is_stopped_and_nothing_else(tmp_path: Path) -> None:
    async with concurrent_bench() as on:
        others = waiters(on, tmp_path / "gate", 2)
        late = on.submit(wait_for(tmp_path / "gate"), operation="awaiting", timeout_s=0.3)
        (result,) = await results_of(on, [late])
        assert result.outcome.error_code is ItemErrorCode.TIMEOUT
        assert "longer than 0.3 s" in (result.outcome.error_message or "")
        assert 300 <= took_ms(result) < 2_000
        assert on.executor.restarts == 0
        (tmp_path / "gate").touch()
        assert [one.outcome.error_code for one in await results_of(on, others)] == [None, None]


@pytest.mark.parametrize(
    "script",
    [{"wait": "swallow"}, {"do": "hang"}, {"thread": "sleep", "seconds": 3600}],
    ids=["swallows", "blocks", "hangs in a thread"],
)
async def test_an_item_that_does_not_stop_is_found_out_and_pays(
    script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagebatch_server.executors.processes.concurrent_session.YIELD_S", 0.3)
    async with concurrent_bench() as on:
        innocent = waiters(on, tmp_path / "gate", 3)
        await begun(on, *innocent)
        stubborn = on.submit(script, operation="awaiting", timeout_s=0.3)
        await eventually(lambda: on.executor.restarts == 1)
        (tmp_path / "gate").touch()
        results = await results_of(on, [*innocent, stubborn])
        assert [result.outcome.error_code for result in results] == [None] * 3 + [ItemErrorCode.TIMEOUT]
        await eventually(lambda: on.executor.restarts == 2)


async def test_a_thread_is_waited_for_when_the_time_is_over() -> None:
    async with concurrent_bench() as on:
        late = on.submit({"thread": "sleep", "seconds": 1.0}, operation="awaiting", timeout_s=0.3)
        quick = on.submit({"thread": "sleep", "seconds": 0.01}, operation="awaiting")
        results = await results_of(on, [late, quick])
        assert [result.outcome.error_code for result in results] == [ItemErrorCode.TIMEOUT, None]
        assert took_ms(results[0]) >= 990  # two clocks measure it
        assert on.executor.restarts == 0


async def test_waiting_for_a_slot_is_not_on_the_clock() -> None:
    async with concurrent_bench() as on:
        for _ in range(5):
            on.submit({"wait": "sleep", "seconds": 0.2}, operation="limited", timeout_s=0.6)
        results = await on.recorded.finish(5)
        assert [result.outcome.error_code for result in results.values()] == [None] * 5


async def test_what_waits_for_a_slot_when_the_child_dies_is_not_suspected(tmp_path: Path) -> None:
    async with concurrent_bench() as on:
        first = on.submit(wait_for(tmp_path / "gate"), operation="limited")
        behind = [on.submit(operation="limited") for _ in range(4)]
        await begun(on, first)
        os.kill(on.pids()[0], signal.SIGKILL)
        results = await results_of(on, [first, *behind])
        assert [result.outcome.error_code for result in results] == [ItemErrorCode.WORKER_CRASHED] + [None] * 4
        for one in behind:
            assert on.recorded.names_of(one.item.item_index) == ["started", "finished"]


async def test_what_is_forgotten_before_it_began_never_begins(tmp_path: Path) -> None:
    async with concurrent_bench() as on:
        first = on.submit(wait_for(tmp_path / "gate"), operation="limited")
        await begun(on, first)
        marker = tmp_path / "begun"
        unwanted = on.submit({"do": "wait", "begun": str(marker), "until": "/"}, operation="limited")
        last = on.submit(operation="limited")
        await eventually(lambda: on.pool._workers[0].held == 3)
        on.executor.forget(unwanted)
        await on.run(operation="awaiting")  # what the child is sent comes in order: now it has heard
        (tmp_path / "gate").touch()
        await results_of(on, [first, last])
        assert not marker.exists()
        assert on.recorded.names_of(unwanted.item.item_index) == []


async def test_what_is_sent_and_forgotten_in_one_breath_leaves_its_place(tmp_path: Path) -> None:
    async with concurrent_bench(2) as on:
        busy, gate = tmp_path / "busy", tmp_path / "gate"
        blocking = on.submit({"do": "wait", "begun": str(busy), "until": str(gate)}, operation="awaiting")
        await eventually(busy.exists)
        unwanted = on.submit(operation="awaiting")
        await eventually(lambda: on.pool._workers[0].held == 2)
        on.executor.forget(unwanted)
        gate.touch()
        await results_of(on, [blocking])
        await eventually(lambda: on.pool._workers[0].held == 0)


async def test_an_item_that_has_ended_is_over_whatever_dies_in_the_same_breath() -> None:
    async with concurrent_bench() as on:
        ends = on.submit({"wait": "sleep", "seconds": 0.5}, operation="awaiting")
        dies = on.submit({"wait": "kill", "seconds": 0.5}, operation="awaiting")
        await begun(on, ends, dies)
        on.submit({"do": "sleep", "seconds": 1.0}, operation="awaiting")  # both are due when it lets the loop go on
        results = await results_of(on, [ends, dies])
        assert [result.outcome.error_code for result in results] == [None, ItemErrorCode.WORKER_CRASHED]
        assert on.recorded.names_of(ends.item.item_index) == ["started", "finished"]


async def test_a_stop_waits_for_what_was_begun_and_reports_nothing_else(tmp_path: Path) -> None:
    async with concurrent_bench(grace_s=10.0) as on:
        first = on.submit(wait_for(tmp_path / "gate"), operation="limited")
        behind = [on.submit(operation="limited") for _ in range(3)]
        await begun(on, first)
        stopping = asyncio.get_running_loop().create_task(on.executor.stop(10.0))
        await eventually(lambda: on.pool._workers[0].held == 1)
        (tmp_path / "gate").touch()
        await stopping
        assert list(on.recorded.results) == [first.item.item_index]
        assert [on.recorded.names_of(one.item.item_index) for one in behind] == [[], [], []]


async def test_an_operation_that_cannot_be_loaded_fails_its_items_alone() -> None:
    async with concurrent_bench() as on:
        broken = [on.submit(operation="async-load-fails") for _ in range(3)]
        wrong_kind = on.submit(operation="noop")
        good = on.submit(operation="awaiting")
        results = await results_of(on, [*broken, wrong_kind, good])
        assert [result.outcome.error_code for result in results] == [ItemErrorCode.INTERNAL] * 4 + [None]
        assert "FileNotFoundError: the key is missing" in (results[0].outcome.error_message or "")
        assert "is not asynchronous" in (results[3].outcome.error_message or "")
        assert results[0].outcome.image_sha256 is None
        assert on.executor.restarts == 0


async def test_errors_carry_how_long_to_wait() -> None:
    async with concurrent_bench() as on:
        script = {"do": "fail", "code": "provider_error", "message": "busy", "transient": True, "retry_after_s": 7.5}
        result = await on.run(script, operation="awaiting")
        assert (result.outcome.error_code, result.transient) == (ItemErrorCode.PROVIDER_ERROR, True)
        assert result.retry_after_s == 7.5


async def test_tokens_are_counted() -> None:
    async with bench() as on:
        result = await on.run(operation="metered")
        assert (result.outcome.input_tokens, result.outcome.output_tokens) == (30, 4)
        assert output(result) == {"input_tokens": 30, "output_tokens": 4}


async def test_nothing_is_lost_or_doubled_while_the_child_is_killed_at_random() -> None:
    chance = random.Random(6)
    items, kills = 1_000, 0
    async with concurrent_bench(16) as on:

        def kill_sometimes(name: str, _: Dispatch) -> None:
            nonlocal kills
            if name == "finished" and kills < 8 and chance.random() < 0.02:
                kills += 1
                os.kill(on.pids()[0], signal.SIGKILL)

        on.recorded.on_event = kill_sometimes
        while len(on.recorded.results) < items:
            while on.submitted < items and on.executor.room():
                url = None if on.submitted % 5 else "http://ok/"
                script = {"wait": "sleep", "seconds": 0.02 * chance.random()}
                on.submit(script, operation="awaiting", url=url, batch_id=str(on.submitted % 3))
            seen = len(on.recorded.events)
            await on.recorded.until(lambda: len(on.recorded.events) > seen)  # noqa: B023 - awaited here
        codes = Counter(result.outcome.error_code for result in on.recorded.results.values())
        assert set(codes) <= {None, ItemErrorCode.WORKER_CRASHED}
        assert codes[ItemErrorCode.WORKER_CRASHED] <= kills
        assert kills == 8
        assert on.executor._budget.free_bytes == 64 * MIB
        assert not on.executor._attempts
