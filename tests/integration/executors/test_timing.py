"""What counts against an item's time, and what doesn't."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from tests.integration.executors.harness import ScriptedFetcher, bench, eventually, file, output, took_ms

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.model import Dispatch
from imagebatch_server.executors.supply.fetch_session import FetchedFile, FetchRequest


async def test_loading_an_operation_is_not_on_the_clock() -> None:
    async with bench() as on:
        result = await on.run(operation="load-slow", timeout_s=0.4)
        assert result.outcome.error_code is None
        assert took_ms(result) < 400


async def test_waiting_behind_others_is_not_on_the_clock() -> None:
    async with bench() as on:
        await on.warm_up()
        for _ in range(4):
            on.submit({"do": "sleep", "seconds": 0.3}, timeout_s=1.0)
        results = await on.recorded.finish(on.submitted)
        assert all(result.outcome.error_code is None for result in results.values())


async def test_fetching_is_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slowly(self: ScriptedFetcher, request: FetchRequest) -> FetchedFile:
        await asyncio.sleep(0.4)
        return replace(file(), took_s=0.4)

    monkeypatch.setattr(ScriptedFetcher, "fetch", slowly)
    async with bench() as on:
        script = {"do": "sleep", "seconds": 0.4}
        late = await on.run(script, url="http://ok/", timeout_s=0.6)
        assert late.outcome.error_code is ItemErrorCode.TIMEOUT
        assert 600 <= took_ms(late) < 5_000
        in_time = await on.run(script, url="http://ok/", timeout_s=5.0)
        assert in_time.outcome.error_code is None
        assert 800 <= took_ms(in_time) < 5_000


async def test_what_was_done_in_time_counts_however_late_it_is_heard() -> None:
    async with bench() as on:
        await on.run()

        def block(name: str, dispatch: Dispatch) -> None:
            if name == "started":
                time.sleep(1.0)  # the loop, as a long garbage collection would

        on.recorded.on_event = block
        result = await on.run({"do": "sleep", "seconds": 0.1}, timeout_s=0.5)
        assert result.outcome.error_code is None


async def test_slow_items_are_spread_over_workers_at_once() -> None:
    async with bench(workers=2) as on:
        await on.warm_up(items=60)
        await eventually(lambda: on.executor.alive == 2)
        first = on.submitted
        for _ in range(4):
            on.submit({"do": "sleep", "seconds": 0.2})
        results = await on.recorded.finish(on.submitted)
        pids = [output(results[index])["pid"] for index in range(first, on.submitted)]
        assert sorted(map(pids.count, set(pids))) == [2, 2]
