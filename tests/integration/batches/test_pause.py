"""A paused batch begins nothing and loses nothing, whoever runs it, and goes on where it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.integration.batches.core import Core, core, fail, succeed
from tests.postgres import MIGRATED, session_server
from tests.unit.batches.samples import item

from imagebatch.v1.enums import BatchStatus, ItemErrorCode
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.model import AttemptResult, Batch, BatchChange, Dispatch, RetryRequest
from imagebatch_server.batches.ports.servers import NewsKind
from imagebatch_server.batches.running import RunningBatch


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    """None for a file."""
    if request.param == "sqlite":
        yield None
        return
    with session_server(tmp_path_factory) as server:
        url = server.create_database(MIGRATED)
        yield url
        server.drop_database(url)


def later(_dispatch: Dispatch) -> None:
    """Leave the attempt in flight."""


def broken(dispatch: Dispatch) -> AttemptResult:
    return fail(dispatch, ItemErrorCode.PROVIDER_ERROR, transient=False)


async def paused(made: Core, items: int, begun: int, **options: Any) -> tuple[Batch, list[Dispatch]]:
    """Pause a batch of which workers have begun so many items, which are answered too."""
    batch = await made.submit([item(index) for index in range(items)], **options)
    await made.executor.holds(min(items, 8))
    held = list(made.executor.in_flight.values())[:begun]
    return await pause(made, batch, held), held


async def pause(made: Core, batch: Batch, held: list[Dispatch]) -> Batch:
    """Pause a batch of which workers have these, and wait until the scheduler has heard of it."""
    for dispatch in held:
        made.executor.begin(dispatch)
    answered = await made.batches.pause("default", batch.batch_id)
    assert answered.paused_at is not None
    await until(made, batch, lambda running: running.paused)
    assert list(made.executor.in_flight.values()) == held
    return answered


async def until(made: Core, batch: Batch, condition: Callable[[RunningBatch], bool]) -> None:
    """Wait for what the scheduler does once it has read of a change."""
    while not condition(made.scheduler._running[batch.batch_id]):
        await made.batches.get("default", batch.batch_id)


async def others_run(made: Core, paused: Batch) -> None:
    """Run another batch to its end, and nothing of the paused one."""
    made.executor.answer = succeed
    before = dispatched_of(made, paused)
    other = await made.submit([item(index) for index in range(200)])
    assert (await made.ended(other)).status is BatchStatus.COMPLETED
    assert dispatched_of(made, paused) == before


def dispatched_of(made: Core, batch: Batch) -> Counter[int]:
    return Counter(one.item.item_index for one in made.executor.dispatched if one.batch_id == batch.batch_id)


async def test_what_is_in_flight_ends_and_nothing_else_is_begun_until_it_is_resumed(
    tmp_path: Path, url: str | None
) -> None:
    async with core(tmp_path, later, url=url) as made:
        batch, held = await paused(made, items=1_000, begun=3)
        for dispatch in held:
            made.executor.finish(succeed(dispatch))
        await made.processed(batch, 3)
        await others_run(made, batch)
        assert (made.scheduler.queued, made.scheduler.in_flight, made.scheduler.running_batches) == (0, 0, 0)
        found = await made.batches.get("default", batch.batch_id)
        assert (found.status, found.successful_items, found.paused_at) == (BatchStatus.PROCESSING, 3, batch.paused_at)
        assert lifecycle.estimated_completion_time(found, datetime.now(UTC)) is None

        resumed = await made.batches.resume("default", batch.batch_id)
        assert (resumed.status, resumed.paused_at) == (BatchStatus.PROCESSING, None)
        ended = await made.ended(batch)
        assert (ended.status, ended.successful_items, ended.last_sequence) == (BatchStatus.COMPLETED, 1_000, 1_000)
        assert [dispatched_of(made, batch)[dispatch.item.item_index] for dispatch in held] == [1, 1, 1]


async def test_a_batch_is_resumed_while_what_was_in_flight_still_is(tmp_path: Path) -> None:
    async with core(tmp_path, later) as made:
        batch, held = await paused(made, items=300, begun=4)
        made.executor.answer = succeed
        await made.batches.resume("default", batch.batch_id)
        await made.processed(batch, 296)
        for dispatch in held:
            made.executor.finish(succeed(dispatch))
        ended = await made.ended(batch)
        assert (ended.successful_items, ended.last_sequence) == (300, 300)
        assert [dispatched_of(made, batch)[dispatch.item.item_index] for dispatch in held] == [1] * 4


async def test_another_attempt_waits_for_the_resumption(tmp_path: Path) -> None:
    async with core(tmp_path, later) as made:
        batch, (failing, busy) = await paused(made, items=2, begun=2)
        made.executor.finish(fail(failing, ItemErrorCode.TIMEOUT, transient=True))
        full = fail(busy, ItemErrorCode.PROVIDER_ERROR, transient=True)
        made.executor.finish(structs.replace(full, busy=True))
        await others_run(made, batch)
        await made.batches.resume("default", batch.batch_id)
        ended = await made.ended(batch)
        assert ended.successful_items == 2
        attempts = {
            one.item.item_index: one.attempt for one in made.executor.dispatched if one.batch_id == batch.batch_id
        }
        assert attempts == {failing.item.item_index: 2, busy.item.item_index: 1}


async def test_items_that_wait_for_their_host_wait_on(tmp_path: Path) -> None:
    async with core(tmp_path, later) as made:
        batch = await made.submit([item(index, image_url="http://slow/x") for index in range(30)])
        await made.executor.holds(2)
        held = list(made.executor.in_flight.values())
        await pause(made, batch, held)
        await others_run(made, batch)
        for dispatch in held:
            made.executor.finish(succeed(dispatch))
        await made.processed(batch, 2)
        await others_run(made, batch)
        await made.batches.resume("default", batch.batch_id)
        assert (await made.ended(batch)).successful_items == 30


async def test_a_restart_keeps_the_pause(tmp_path: Path, url: str | None) -> None:
    async with core(tmp_path, later, url=url) as first:
        batch, _ = await paused(first, items=100, begun=2)
    async with core(tmp_path, succeed, url=url) as second:
        await second.resume()
        assert (await second.batches.get("default", batch.batch_id)).owner == second.claim.owner
        await others_run(second, batch)
        await second.batches.resume("default", batch.batch_id)
        assert (await second.ended(batch)).successful_items == 100


async def test_a_state_from_before_the_pause_resumes_nothing(tmp_path: Path) -> None:
    async with core(tmp_path, later) as made:
        batch, _ = await paused(made, items=100, begun=0)
        made.scheduler.reconcile(replace(batch, paused_at=None))
        await others_run(made, batch)
        await made.batch_store.resume("default", batch.batch_id)  # and nobody tells of it
        made.scheduler.reconcile(await made.batch_store.get("default", batch.batch_id))
        assert (await made.ended(batch)).successful_items == 100


async def test_a_paused_batch_can_be_cancelled(tmp_path: Path, url: str | None) -> None:
    async with core(tmp_path, later, url=url) as made:
        batch, (held,) = await paused(made, items=2_500, begun=1)
        asked = await made.batches.cancel("default", batch.batch_id)
        assert (asked.paused_at, asked.cancel_requested_at is not None) == (None, True)
        assert (await made.batches.pause("default", batch.batch_id)).paused_at is None
        made.executor.finish(succeed(held))
        ended = await made.ended(batch)
        assert (ended.status, ended.successful_items, ended.skipped_items) == (BatchStatus.CANCELLED, 1, 2_499)


async def test_a_cancellation_that_the_recorder_hears_of_first_ends_a_pause(tmp_path: Path) -> None:
    async with core(tmp_path, later) as made:
        batch, (done, failing) = await paused(made, items=50, begun=2)
        await made.batch_store.request_cancel("default", batch.batch_id, datetime.now(UTC))  # and nobody tells of it
        made.executor.finish(succeed(done))
        await made.processed(batch, 2)  # the others are being skipped
        made.executor.finish(fail(failing, ItemErrorCode.TIMEOUT, transient=True))
        ended = await made.ended(batch)
        assert (ended.successful_items, ended.failed_items, ended.skipped_items) == (1, 1, 48)


async def test_a_batch_ends_with_what_was_in_flight_and_a_retry_runs_at_once(tmp_path: Path) -> None:
    async with core(tmp_path, later) as made:
        batch, held = await paused(made, items=3, begun=3)
        for dispatch in held:
            made.executor.finish(broken(dispatch))
        ended = await made.ended(batch)
        assert (ended.status, ended.paused_at) == (BatchStatus.FAILED, None)
        made.executor.answer = succeed
        reopened = await made.batches.retry("default", batch.batch_id, RetryRequest())
        assert reopened.paused_at is None
        assert (await made.ended(batch)).status is BatchStatus.COMPLETED


async def test_a_retry_of_a_paused_batch_leaves_it_paused(tmp_path: Path) -> None:
    async with core(tmp_path, later) as made:
        batch, (held,) = await paused(made, items=20, begun=1)
        made.executor.finish(broken(held))
        await made.processed(batch, 1)
        answered = await made.batches.retry("default", batch.batch_id, RetryRequest())
        assert (answered.paused_at, answered.failed_items) == (batch.paused_at, 1)
        await others_run(made, batch)


async def test_a_canary_goes_on_where_it_was_paused(tmp_path: Path) -> None:
    async with core(tmp_path, later, room=64) as made:
        batch, held = await paused(made, items=500, begun=2, canary=10)
        for dispatch in held:
            made.executor.finish(succeed(dispatch))
        await made.processed(batch, 2)
        before = len(made.executor.dispatched)
        await made.batches.resume("default", batch.batch_id)
        await made.executor.holds(8)
        rest = list(made.executor.in_flight.values())
        for dispatch in rest[:-1]:
            made.executor.finish(succeed(dispatch))
        await made.processed(batch, 9)
        assert len(made.executor.dispatched) == before + 8  # nothing else before the last of the canary has ended
        made.executor.answer = succeed
        made.executor.finish(succeed(rest[-1]))
        assert (await made.ended(batch)).successful_items == 500


async def test_what_ends_during_a_pause_may_blow_the_fuse(tmp_path: Path) -> None:
    async with core(tmp_path, later, room=64) as made:
        batch, held = await paused(made, items=3_000, begun=10, canary=10, failure_limit=0.5)
        for dispatch in held:
            made.executor.finish(broken(dispatch))
        ended = await made.ended(batch)
        assert (ended.status, ended.failed_items, ended.skipped_items) == (BatchStatus.FAILED, 10, 2_990)


async def test_a_new_priority_counts_from_the_next_dispatch_on(tmp_path: Path) -> None:
    async with core(tmp_path, later, room=1) as made:
        items = [item(index) for index in range(700)]
        one, other = await made.submit(items, at_hand=700), await made.submit(items, at_hand=700)  # which are not read

        async def served(count: int) -> Counter[str]:
            """Let so many attempts end, and tell of which batches they were."""
            of: Counter[str] = Counter()
            for _ in range(count):
                await made.executor.holds(1)
                (dispatch,) = made.executor.in_flight.values()
                of[dispatch.batch_id] += 1
                made.executor.finish(twenty_ms(dispatch))
            return of

        await served(100)  # until it is known what an item takes
        before = await served(100)
        assert before[one.batch_id] == pytest.approx(before[other.batch_id], abs=10)
        answered = await made.batches.update("default", one.batch_id, BatchChange(priority=10))
        assert answered.options.priority == 10
        await made.batches.update("default", other.batch_id, BatchChange(priority=1))
        for batch, priority in ((one, 10), (other, 1)):
            await until(made, batch, partial(has_priority, priority))
        after = await served(220)
        assert after[one.batch_id] == pytest.approx(10 * after[other.batch_id], rel=0.2)


def has_priority(priority: int, running: RunningBatch) -> bool:
    return running.batch.options.priority == priority


def twenty_ms(dispatch: Dispatch) -> AttemptResult:
    """Let the item succeed after what a turn is long."""
    result = succeed(dispatch)
    return structs.replace(result, outcome=structs.replace(result.outcome, processing_time_ms=20))


async def test_news_of_a_pause_may_come_twice_and_late(tmp_path: Path) -> None:
    async with core(tmp_path, later) as made:
        batch, _ = await paused(made, items=10, begun=0)
        for kind in (NewsKind.RESUMED, NewsKind.PAUSED, NewsKind.UPDATED, NewsKind.SUBMITTED):
            made.news.publish(kind, "default", batch.batch_id)
        await others_run(made, batch)
        assert (await made.batches.pause("default", batch.batch_id)).paused_at == batch.paused_at
        for _ in range(2):
            await made.batches.resume("default", batch.batch_id)
        assert (await made.ended(batch)).successful_items == 10
