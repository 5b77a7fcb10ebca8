"""The canary and the failure limit: what is wrong with a whole batch costs a few items of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.integration.batches.core import Core, core, fail, succeed
from tests.unit.batches.samples import item

from imagebatch.v1.enums import BatchItemStatus, BatchStatus, ItemErrorCode
from imagebatch_server.batches.model import AttemptResult, Dispatch, ItemFilter, RetryRequest


def broken(dispatch: Dispatch) -> AttemptResult:
    """Every item fails for good."""
    return fail(dispatch, ItemErrorCode.PROVIDER_ERROR, transient=False)


async def test_the_canary_runs_first_and_is_picked_at_random(tmp_path: Path) -> None:
    async with core(tmp_path, answer=lambda _: None, room=64) as made:
        batch = await made.submit([item(index) for index in range(1_000)], canary=12)
        await made.executor.holds(12)
        canary = sorted(index for _, index in made.executor.in_flight)
        assert canary != list(range(12))
        assert max(canary) > 100
        held = list(made.executor.in_flight.values())
        for dispatch in held[:-1]:
            made.executor.finish(succeed(dispatch))
        await made.processed(batch, 11)
        assert len(made.executor.dispatched) == 12  # nothing else before the last of the canary has ended
        made.executor.answer = succeed
        made.executor.finish(succeed(held[-1]))
        ended = await made.ended(batch)
        assert ended.status is BatchStatus.COMPLETED
        assert ended.successful_items == 1_000
        assert len(made.executor.dispatched) == 1_000


async def test_past_the_failure_limit_the_rest_is_skipped(tmp_path: Path) -> None:
    async with core(tmp_path, broken) as made:
        batch = await made.submit([item(index) for index in range(3_000)], canary=10, failure_limit=0.5)
        ended = await made.ended(batch)
        assert ended.status is BatchStatus.FAILED
        assert (ended.failed_items, ended.skipped_items) == (10, 2_990)
        assert len(made.executor.dispatched) == 10
        _, total, results = await made.batches.page(
            "default", batch.batch_id, ItemFilter(statuses=(BatchItemStatus.SKIPPED,)), 0, 1
        )
        assert total == 2_990
        assert results[0].outcome is not None
        assert results[0].outcome.error_code is ItemErrorCode.FAILURE_LIMIT


async def test_without_a_canary_it_is_judged_from_twenty_outcomes_on(tmp_path: Path) -> None:
    async with core(tmp_path, broken, room=1) as made:
        batch = await made.submit([item(index) for index in range(300)], failure_limit=0.1)
        ended = await made.ended(batch)
        assert (ended.failed_items, ended.skipped_items) == (20, 280)


async def test_a_share_at_the_limit_is_not_past_it(tmp_path: Path) -> None:
    def answer(dispatch: Dispatch) -> AttemptResult:
        return broken(dispatch) if dispatch.item.item_index % 2 else succeed(dispatch)

    async with core(tmp_path, answer, room=1) as made:
        batch = await made.submit([item(index) for index in range(100)], failure_limit=0.5)
        ended = await made.ended(batch)
        assert (ended.successful_items, ended.failed_items, ended.skipped_items) == (50, 50, 0)


async def test_a_restart_judges_by_what_is_recorded(tmp_path: Path) -> None:
    async with core(tmp_path, broken, room=1) as first:
        first.scheduler.stop()
        batch = await first.submit([item(index) for index in range(50)], canary=10, failure_limit=0.5)
    async with core(tmp_path, broken) as second:
        await second.resume()
        ended = await second.ended(batch)
        assert (ended.failed_items, ended.skipped_items) == (10, 40)


async def test_a_repaired_batch_resumes_by_retry(tmp_path: Path) -> None:
    async with core(tmp_path, broken) as made:
        batch = await made.submit([item(index) for index in range(500)], canary=10, failure_limit=0.5)
        first = await made.ended(batch)
        made.executor.answer = succeed
        reopened = await made.batches.retry("default", batch.batch_id, RetryRequest())
        assert reopened.status is BatchStatus.PROCESSING
        assert (reopened.failed_items, reopened.skipped_items) == (0, 0)
        ended = await made.ended(batch)
        assert ended.status is BatchStatus.COMPLETED
        assert ended.successful_items == 500
        assert ended.last_sequence == first.last_sequence + 500
        again = await made.batches.retry("default", batch.batch_id, RetryRequest())
        assert again.status is BatchStatus.COMPLETED


async def test_retrying_some_codes_leaves_the_others(tmp_path: Path) -> None:
    def answer(dispatch: Dispatch) -> AttemptResult:
        code = ItemErrorCode.DECODE_FAILED if dispatch.item.item_index % 2 else ItemErrorCode.PROVIDER_ERROR
        return fail(dispatch, code, transient=False)

    async with core(tmp_path, answer) as made:
        batch = await made.submit([item(index) for index in range(40)])
        await made.ended(batch)
        made.executor.answer = succeed
        await made.batches.retry("default", batch.batch_id, RetryRequest((ItemErrorCode.PROVIDER_ERROR,)))
        watching = asyncio.create_task(_count_watch(made, batch.batch_id, 40))
        ended = await made.ended(batch)
        assert ended.status is BatchStatus.PARTIALLY_COMPLETED
        assert (ended.successful_items, ended.failed_items) == (20, 20)
        assert ended.failure_counts == {"decode_failed": 20}
        assert await watching == 20


async def _count_watch(made: Core, batch_id: str, after_sequence: int) -> int:
    """Watch from after the outcomes that the retry takes away."""
    return sum([len(update.results) async for update in made.watchers.watch("default", batch_id, after_sequence, ())])


async def test_duplicates_run_once(tmp_path: Path) -> None:
    def keyed(index: int) -> bytes | None:
        return None if index % 5 == 4 else bytes([index % 5]) * 32

    async with core(tmp_path) as made:
        batch = await made.submit([item(index, content_key=keyed(index)) for index in range(100)], skip_duplicates=True)
        ended = await made.ended(batch)
        assert ended.status is BatchStatus.COMPLETED
        assert (ended.successful_items, ended.skipped_items) == (24, 76)
        _, _, results = await made.batches.page("default", batch.batch_id, ItemFilter(), 0, 100)
        for result in results:
            index = result.item.item_index
            if index < 5 or index % 5 == 4:
                assert result.status is BatchItemStatus.SUCCESS
            else:
                assert result.outcome is not None
                assert result.outcome.error_code is ItemErrorCode.DUPLICATE
                assert result.outcome.duplicate_of_index == index % 5
