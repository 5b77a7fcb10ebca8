"""Batches run to their end: each item recorded once, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest
from tests.integration.batches.core import Core, core, fail, succeed
from tests.unit.batches.samples import item

from imagebatch.v1.enums import BatchItemStatus, BatchStatus, ItemErrorCode
from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.batches.loops import running
from imagebatch_server.batches.model import AttemptResult, Batch, Dispatch, ItemFilter, ItemResult
from imagebatch_server.batches.ownership import Ownership
from imagebatch_server.batches.ports.batches import BatchCommit, OutcomeStore


async def all_results(made: Core, batch: Batch) -> Sequence[ItemResult]:
    _, _, results = await made.batches.page("default", batch.batch_id, ItemFilter(), 0, 1_000)
    return results


async def assert_whole(made: Core, batch: Batch, ended: Batch) -> None:
    """Counters equal the rows, and sequences are dense."""
    results = await all_results(made, batch)
    by_status = Counter(result.status for result in results)
    assert ended.successful_items == by_status[BatchItemStatus.SUCCESS]
    assert ended.failed_items == by_status[BatchItemStatus.FAILED]
    assert ended.skipped_items == by_status[BatchItemStatus.SKIPPED]
    assert sorted(result.sequence or 0 for result in results) == list(range(1, batch.total_items + 1))


@pytest.mark.parametrize("at_hand", [0, 64, 700])
async def test_every_item_is_dispatched_and_recorded_once(tmp_path: Path, at_hand: int) -> None:
    async with core(tmp_path) as made:
        batch = await made.submit([item(index) for index in range(700)], at_hand=at_hand)
        ended = await made.ended(batch)
        assert ended.status is BatchStatus.COMPLETED
        assert ended.started_at is not None
        assert ended.completed_at is not None
        assert Counter(dispatch.item.item_index for dispatch in made.executor.dispatched) == Counter(range(700))
        assert made.executor.most_in_flight <= 8
        await assert_whole(made, batch, ended)


async def test_transient_errors_run_again_and_permanent_ones_do_not(tmp_path: Path) -> None:
    def answer(dispatch: Dispatch) -> AttemptResult:
        index = dispatch.item.item_index
        if index == 0:
            return fail(dispatch, ItemErrorCode.DECODE_FAILED, transient=False)
        if index == 1:
            return fail(dispatch, ItemErrorCode.FETCH_FAILED, transient=True)
        if index == 2 and dispatch.attempt < 3:
            return fail(dispatch, ItemErrorCode.TIMEOUT, transient=True)
        return succeed(dispatch)

    async with core(tmp_path, answer) as made:
        batch = await made.submit([item(index) for index in range(4)], at_hand=4)
        ended = await made.ended(batch)
        assert ended.status is BatchStatus.PARTIALLY_COMPLETED
        assert ended.failure_counts == {"decode_failed": 1, "fetch_failed": 1}
        assert [result.outcome and result.outcome.attempts for result in await all_results(made, batch)] == [1, 3, 3, 1]
        await assert_whole(made, batch, ended)


async def test_cancelling_skips_what_was_not_started(tmp_path: Path) -> None:
    async with core(tmp_path, answer=lambda _: None) as made:
        batch = await made.submit([item(index) for index in range(2_500)])
        await made.executor.holds(8)
        started = [made.executor.in_flight[batch.batch_id, index] for index in (0, 1)]
        for dispatch in started:
            made.executor.begin(dispatch)
        asked = await made.batches.cancel("default", batch.batch_id)
        assert asked.cancel_requested_at is not None
        assert asked.status is not BatchStatus.CANCELLED
        again = await made.batches.cancel("default", batch.batch_id)
        assert again.cancel_requested_at == asked.cancel_requested_at
        await made.executor.let_go(but=len(started))
        made.executor.finish(succeed(started[0]))
        made.executor.finish(fail(started[1], ItemErrorCode.TIMEOUT, transient=True))
        ended = await made.ended(batch)
        assert ended.status is BatchStatus.CANCELLED
        assert (ended.successful_items, ended.failed_items, ended.skipped_items) == (1, 1, 2_498)
        terminal = await made.batches.cancel("default", batch.batch_id)
        assert terminal.status is BatchStatus.CANCELLED


async def test_a_late_answer_to_a_dropped_attempt_is_not_recorded(tmp_path: Path) -> None:
    async with core(tmp_path, answer=lambda _: None) as made:
        batch = await made.submit([item(0)], at_hand=1)
        await made.executor.holds(1)
        dispatch = made.executor.in_flight[batch.batch_id, 0]
        await made.batches.cancel("default", batch.batch_id)
        await made.executor.let_go()
        assert made.executor.events is not None
        made.executor.events.finished(succeed(dispatch))
        ended = await made.ended(batch)
        assert (ended.successful_items, ended.skipped_items) == (0, 1)


async def test_a_second_server_finishes_what_the_first_left(tmp_path: Path) -> None:
    left = 40

    def answer(dispatch: Dispatch) -> AttemptResult | None:
        return succeed(dispatch) if dispatch.item.item_index < 100 - left else None

    async with core(tmp_path, answer) as first:
        batch = await first.submit([item(index) for index in range(100)])
        await first.processed(batch, 100 - left)
    async with core(tmp_path) as second:
        await second.resume()
        ended = await second.ended(batch)
        assert ended.status is BatchStatus.COMPLETED
        assert ended.owner_epoch == 2
        assert len(second.executor.dispatched) == left
        await assert_whole(second, batch, ended)


class LosingStore:
    """A store whose answers are lost, before or after it committed."""

    def __init__(self, store: OutcomeStore, losses: list[str]) -> None:
        self._store = store
        self._losses = losses
        self.page = store.page
        self.news = store.news
        self.after = store.after

    async def record(self, commits: Sequence[BatchCommit], at: datetime, *, recheck: bool) -> Sequence[Batch | None]:
        loss = self._losses.pop() if self._losses and commits[0].outcomes else ""
        if loss == "before":
            raise StoreUnavailable("lost before the commit")
        recorded = await self._store.record(commits, at, recheck=recheck)
        if loss == "after":
            raise StoreUnavailable("lost after the commit")
        return recorded


async def test_a_store_that_comes_and_goes_costs_and_doubles_nothing(tmp_path: Path) -> None:
    losses = ["before", "after", "after", "", "before", "after"]
    async with core(tmp_path, wrap=lambda store: LosingStore(store, losses)) as made:
        batch = await made.submit([item(index) for index in range(300)])
        watched = asyncio.create_task(made.seen(batch))
        ended = await made.ended(batch)
        assert ended.status is BatchStatus.COMPLETED
        assert not losses
        await assert_whole(made, batch, ended)
        seen = [result for update in await watched for result in update.results]
        assert Counter(seen) == Counter(f"{index}:success".encode() for index in range(300))


async def test_a_busy_host_parks_its_items_and_holds_up_no_others(tmp_path: Path) -> None:
    def answer(dispatch: Dispatch) -> AttemptResult | None:
        return None if "slow" in (dispatch.item.image_url or "") else succeed(dispatch)

    async with core(tmp_path, answer) as made:
        slow = await made.submit([item(index, image_url="http://slow/x") for index in range(30)])
        await made.executor.holds(2)
        quick = await made.submit([item(index, image_url="http://quick/x") for index in range(50)])
        assert (await made.ended(quick)).status is BatchStatus.COMPLETED
        assert len(made.executor.in_flight) == 2
        made.executor.answer = succeed
        for dispatch in list(made.executor.in_flight.values()):
            made.executor.finish(succeed(dispatch))
        ended = await made.ended(slow)
        assert ended.successful_items == 30
        assert made.executor.most_in_flight <= 16


async def test_a_batch_whose_submit_was_not_answered_is_found_and_run(tmp_path: Path) -> None:
    async with core(tmp_path) as made:
        async with running(
            Ownership(made.batch_store, made.scheduler, made.claim, made.servers, made.news, every_s=0.01)
        ):
            stored = await made.store([item(index) for index in range(200)])
            ended = await made.ended(stored)
        assert ended.status is BatchStatus.COMPLETED
        assert len(made.executor.dispatched) == 200


async def test_a_batch_of_another_server_is_not_run(tmp_path: Path) -> None:
    """As a repeated request_id finds it that reaches a second server."""
    async with core(tmp_path) as one, core(tmp_path) as two:
        one.executor.answer = lambda dispatch: None
        batch = await one.submit([item(0)])
        two.scheduler.reconcile(batch)
        assert two.scheduler.running_batches == 0
        await one.executor.holds(1)
        assert two.executor.dispatched == []


async def test_a_batch_that_another_server_took_over_is_let_go(tmp_path: Path) -> None:
    async with core(tmp_path) as one, core(tmp_path) as two:
        one.executor.answer = lambda dispatch: None
        batch = await one.submit([item(index) for index in range(20)])
        await one.executor.holds(8)
        await one.recorder.drained()  # or the writing of its start would tell that it is lost
        await two.resume()
        ended = await two.ended(batch)
        assert (ended.status, ended.successful_items) == (BatchStatus.COMPLETED, 20)
        again = await one.submit([item(0)])
        await Ownership(one.batch_store, one.scheduler, one.claim, one.servers, one.news).look()
        assert one.scheduler.running_batches == 2, "it has ended elsewhere, which its outcomes will tell"
        one.executor.answer = succeed
        for dispatch in list(one.executor.in_flight.values()):
            one.executor.finish(succeed(dispatch))
        await one.ended(again)
        assert one.scheduler.running_batches == 0
        assert await one.batch_store.get("default", batch.batch_id) == ended


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_batch_that_ended_while_it_was_being_adopted_is_let_go(tmp_path: Path, cancelled: bool) -> None:
    async with core(tmp_path) as made:
        stale = await made.store([item(0)])
        if cancelled:
            stale = await made.batch_store.request_cancel("default", stale.batch_id, stale.created_at)
        made.scheduler.reconcile(stale)
        ended = await made.ended(stale)
        made.scheduler.reconcile(ended)
        assert made.scheduler.running_batches == 0
        made.scheduler.reconcile(stale)
        assert made.scheduler.running_batches == 1
        other = await made.submit([item(0)])
        await made.ended(other)
        assert made.scheduler.running_batches == 0
        assert len(made.executor.dispatched) == (1 if cancelled else 2)
