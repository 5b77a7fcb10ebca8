"""Waiting for somebody who is asked too much spends patience, and no attempt."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from msgspec import structs
from tests.integration.batches.core import Answer, Core, core, fail, succeed
from tests.unit.batches.samples import ALL, item

from imagebatch.v1.enums import BatchStatus, ItemErrorCode
from imagebatch_server.batches.hosts import Hosts
from imagebatch_server.batches.model import AttemptResult, Batch, Dispatch, ItemFilter, Outcome

URL = "http://busy/x"


def busy(dispatch: Dispatch, code: ItemErrorCode, retry_after_s: float | None = 0.0) -> AttemptResult:
    """Somebody had too much to do for the item."""
    return structs.replace(fail(dispatch, code, transient=True), busy=True, retry_after_s=retry_after_s)


def at_first(code: ItemErrorCode, times: int) -> Answer:
    """Too busy for each item so many times."""
    asked: Counter[int] = Counter()

    def answer(dispatch: Dispatch) -> AttemptResult:
        asked[dispatch.item.item_index] += 1
        return busy(dispatch, code) if asked[dispatch.item.item_index] <= times else succeed(dispatch)

    return answer


async def outcomes(made: Core, batch: Batch) -> list[Outcome]:
    _, _, results = await made.batches.page("default", batch.batch_id, ItemFilter(), 0, 1_000)
    return [result.outcome for result in results if result.outcome is not None]


async def test_a_busy_endpoint_costs_no_attempt(tmp_path: Path) -> None:
    async with core(tmp_path, at_first(ItemErrorCode.PROVIDER_ERROR, 5)) as made:
        batch = await made.submit([item(index) for index in range(20)], max_attempts=1)
        ended = await made.ended(batch)
        assert ended.status is BatchStatus.COMPLETED
        assert {outcome.attempts for outcome in await outcomes(made, batch)} == {1}
        assert len(made.executor.dispatched) == 20 * 6


async def test_a_busy_host_costs_no_attempt(tmp_path: Path) -> None:
    async with core(tmp_path, at_first(ItemErrorCode.FETCH_FAILED, 1)) as made:
        batch = await made.submit([item(0, image_url=URL), item(1, image_url="http://quick/x")], max_attempts=1)
        ended = await made.ended(batch)
        assert ended.status is BatchStatus.COMPLETED
        assert {outcome.attempts for outcome in await outcomes(made, batch)} == {1}


@pytest.mark.parametrize("retry_after_s", [0.0, 300.0])
async def test_patience_ends_for_what_was_tried_and_for_what_was_not(tmp_path: Path, retry_after_s: float) -> None:
    def answer(dispatch: Dispatch) -> AttemptResult:
        return busy(dispatch, ItemErrorCode.FETCH_FAILED, retry_after_s)

    hosts = Hosts(overall=16, per_host=2, share=ALL, patience_s=0.3)
    async with core(tmp_path, answer, hosts=hosts) as made:
        batch = await made.submit([item(index, image_url=URL) for index in range(30)], max_attempts=3)
        ended = await made.ended(batch)
        assert (ended.status, ended.failure_counts) == (BatchStatus.FAILED, {"fetch_failed": 30})
        assert any("IMAGEBATCH_FETCH_PATIENCE_S" in (one.error_message or "") for one in await outcomes(made, batch))
        assert made.scheduler.running_batches == 0
        assert hosts.room() == 16


async def test_an_endpoints_patience_ends_too(tmp_path: Path) -> None:
    hosts = Hosts(overall=16, per_host=2, share=ALL, patience_s=0.1)
    async with core(tmp_path, lambda one: busy(one, ItemErrorCode.PROVIDER_ERROR), hosts=hosts) as made:
        ended = await made.ended(await made.submit([item(0)]))
        assert ended.failure_counts == {"provider_error": 1}


async def test_cancelling_does_not_wait_for_a_host(tmp_path: Path) -> None:
    tried = asyncio.Event()

    def answer(dispatch: Dispatch) -> AttemptResult:
        tried.set()
        return busy(dispatch, ItemErrorCode.FETCH_FAILED, 300.0)

    async with core(tmp_path, answer) as made:
        batch = await made.submit([item(index, image_url=URL) for index in range(30)])
        await tried.wait()
        await made.batches.cancel("default", batch.batch_id)
        ended = await made.ended(batch)
        assert (ended.status, ended.skipped_items) == (BatchStatus.CANCELLED, 30)


async def test_a_held_host_holds_up_no_other(tmp_path: Path) -> None:
    def answer(dispatch: Dispatch) -> AttemptResult:
        if dispatch.item.image_url == URL:
            return busy(dispatch, ItemErrorCode.FETCH_FAILED, 300.0)
        return succeed(dispatch)

    async with core(tmp_path, answer) as made:
        held = await made.submit([item(index, image_url=URL) for index in range(30)])
        quick = await made.submit([item(index, image_url=f"http://quick{index % 3}/x") for index in range(90)])
        assert (await made.ended(quick)).status is BatchStatus.COMPLETED
        await made.batches.cancel("default", held.batch_id)
        await made.ended(held)
