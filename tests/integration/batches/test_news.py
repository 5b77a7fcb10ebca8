"""A change to a batch takes one path, wherever it comes from, and what is told of it may come late or twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.integration.batches.core import Core, core, fail, succeed
from tests.unit.batches.samples import item

from imagebatch.v1.enums import BatchStatus, ItemErrorCode
from imagebatch_server.batches import patience
from imagebatch_server.batches.errors import BatchNotFound, StoreUnavailable
from imagebatch_server.batches.janitor import Janitor
from imagebatch_server.batches.loops import running
from imagebatch_server.batches.model import AttemptResult, Batch, Dispatch, RetryRequest
from imagebatch_server.batches.ports.servers import NewsKind


def broken(dispatch: Dispatch) -> AttemptResult:
    """Every item fails for good."""
    return fail(dispatch, ItemErrorCode.PROVIDER_ERROR, transient=False)


async def failed(made: Core, count: int = 3) -> Batch:
    """Make a batch that has failed."""
    batch = await made.submit([item(index) for index in range(count)])
    ended = await made.ended(batch)
    assert ended.status is BatchStatus.FAILED
    return ended


async def test_a_batch_that_another_part_stored_is_run(tmp_path: Path) -> None:
    async with core(tmp_path) as made:
        batch = await made.store([item(index) for index in range(100)])
        made.news.publish(NewsKind.SUBMITTED, "default", batch.batch_id)
        assert (await made.ended(batch)).status is BatchStatus.COMPLETED


async def test_a_cancellation_from_elsewhere_is_obeyed(tmp_path: Path) -> None:
    async with core(tmp_path, answer=lambda _: None) as made:
        batch = await made.submit([item(index) for index in range(100)])
        await made.executor.holds(8)
        await made.batch_store.request_cancel("default", batch.batch_id, datetime.now(UTC))
        made.news.publish(NewsKind.CANCEL_REQUESTED, "default", batch.batch_id)
        assert (await made.ended(batch)).status is BatchStatus.CANCELLED


async def test_a_batch_reopened_elsewhere_runs_again(tmp_path: Path) -> None:
    async with core(tmp_path, broken) as made:
        batch = await failed(made)
        made.executor.answer = succeed
        await made.batch_store.retry("default", batch.batch_id, RetryRequest(), datetime.now(UTC))
        made.news.publish(NewsKind.REOPENED, "default", batch.batch_id)
        assert (await made.ended(batch)).status is BatchStatus.COMPLETED


async def test_a_deleted_batch_is_gone_at_once_and_its_rows_soon(tmp_path: Path) -> None:
    async with core(tmp_path, broken) as made:
        batch = await failed(made)
        await made.batches.delete("default", batch.batch_id)
        with pytest.raises(BatchNotFound):
            await anext(made.watchers.watch("default", batch.batch_id, 0, ()))
        async with running(made.janitor):
            while await made.batch_store.items("default", batch.batch_id, range(3)):
                pass
            later = await failed(made)
            await made.batches.delete("default", later.batch_id)  # while the janitor waits for its next round
            while await made.batch_store.items("default", later.batch_id, range(3)):
                pass


async def test_an_open_watch_of_a_deleted_batch_ends(tmp_path: Path) -> None:
    async with core(tmp_path, broken) as made:
        batch = await failed(made)
        await made.batch_store.retry("default", batch.batch_id, RetryRequest(), datetime.now(UTC))  # and nobody runs it
        updates = made.watchers.watch("default", batch.batch_id, batch.last_sequence, ())
        await anext(updates)
        read = made.batch_store.get

        async def gone(tenant: str, batch_id: str) -> Batch:
            raise BatchNotFound(batch_id)

        made.batch_store.get = gone  # type: ignore[method-assign]
        made.news.publish(NewsKind.DELETED, "default", batch.batch_id)
        with pytest.raises(BatchNotFound):
            await anext(updates)
        made.batch_store.get = read  # type: ignore[method-assign]


async def test_expiry_is_news_too_and_wakes_the_janitor_only_once(tmp_path: Path) -> None:
    async with core(tmp_path, broken) as made:
        batch = await failed(made)
        told: list[tuple[NewsKind, str]] = []
        made.news.subscribe(lambda kind, _tenant, batch_id: told.append((kind, batch_id)))
        janitor = Janitor(
            made.batch_store, made.tenant_store, made.sweeper, made.news, retention=timedelta(0), every_s=3_600.0
        )
        await janitor.tidy()
        assert told == [(NewsKind.DELETED, batch.batch_id)]
        assert not await made.batch_store.items("default", batch.batch_id, range(3))
        assert not janitor._wake.is_set()


async def test_of_several_servers_only_one_clears_away(tmp_path: Path) -> None:
    async with core(tmp_path, broken) as made:
        batch = await failed(made)
        await made.batches.delete("default", batch.batch_id)
        leads = False
        janitor = Janitor(
            made.batch_store,
            made.tenant_store,
            made.sweeper,
            made.news,
            retention=timedelta(0),
            every_s=3_600.0,
            leads=lambda: leads,
        )
        await janitor.tidy()
        assert len(await made.batch_store.items("default", batch.batch_id, range(3))) == 3
        leads = True  # the one before is gone
        await janitor.tidy()
        assert not await made.batch_store.items("default", batch.batch_id, range(3))


async def test_news_that_comes_often_or_late_does_no_harm(tmp_path: Path) -> None:
    async with core(tmp_path, answer=lambda _: None) as made:
        batch = await made.submit([item(index) for index in range(8)])
        await made.executor.holds(8)
        for kind in (*NewsKind, *NewsKind):
            made.news.publish(kind, "default", batch.batch_id)
        for dispatch in list(made.executor.in_flight.values()):
            made.executor.finish(succeed(dispatch))
        ended = await made.ended(batch)
        for kind in NewsKind:
            made.news.publish(kind, "default", batch.batch_id)
        other = await made.submit([item(0)])
        await made.executor.holds(1)
        assert ended.status is BatchStatus.COMPLETED
        assert len(made.executor.dispatched) == 9
        assert made.scheduler.running_batches == 1
        assert other.batch_id != batch.batch_id


async def test_a_retry_that_comes_before_the_news_of_the_end(tmp_path: Path) -> None:
    async with core(tmp_path, broken) as made:
        made.recorder._listeners.remove(made.scheduler)
        batch = await failed(made)  # of which the scheduler has not heard
        assert made.scheduler.running_batches == 1
        made.recorder.listen(made.scheduler)
        made.executor.answer = succeed
        await made.batches.retry("default", batch.batch_id, RetryRequest())
        ended = await made.ended(batch)
        made.scheduler.committed(batch, (), ())
        assert ended.status is BatchStatus.COMPLETED
        assert made.scheduler.running_batches == 0
        assert len(made.executor.dispatched) == 6


async def test_what_changes_during_a_look_is_looked_up_once_more(tmp_path: Path) -> None:
    async with core(tmp_path, answer=lambda _: None) as made:
        batch = await made.submit([item(index) for index in range(8)])
        await made.executor.holds(8)
        get, reading, released = made.batch_store.get, asyncio.Event(), asyncio.Event()

        async def slow(tenant: str, batch_id: str) -> Batch:
            found = await get(tenant, batch_id)
            reading.set()
            await released.wait()
            return found

        made.batch_store.get = slow  # type: ignore[method-assign]
        made.news.publish(NewsKind.SUBMITTED, "default", batch.batch_id)
        await reading.wait()
        await made.batches.cancel("default", batch.batch_id)
        released.set()
        await made.executor.let_go()
        assert (await made.ended(batch)).status is BatchStatus.CANCELLED


async def test_a_look_waits_for_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "STORE_RETRY_S", 0.0)
    async with core(tmp_path) as made:
        get, losses = made.batch_store.get, [StoreUnavailable("away"), StoreUnavailable("away")]

        async def away(tenant: str, batch_id: str) -> Batch:
            if losses:
                raise losses.pop()
            return await get(tenant, batch_id)

        batch = await made.store([item(0)])
        made.batch_store.get = away  # type: ignore[method-assign]
        made.news.publish(NewsKind.SUBMITTED, "default", batch.batch_id)
        await made.executor.holds(1)
        assert not losses
        assert (await made.ended(batch)).status is BatchStatus.COMPLETED


async def test_a_subscriber_that_fails_keeps_the_news_from_nobody(tmp_path: Path) -> None:
    def fails(_kind: NewsKind, _tenant: str, _batch_id: str) -> None:
        raise ZeroDivisionError

    async with core(tmp_path) as made:
        told: list[NewsKind] = []
        made.news.subscribe(fails)
        made.news.subscribe(lambda kind, _tenant, _batch_id: told.append(kind))
        made.news.publish(NewsKind.REOPENED, "default", "of nobody")
        assert told == [NewsKind.REOPENED]
