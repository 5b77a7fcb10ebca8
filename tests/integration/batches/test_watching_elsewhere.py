"""Two servers on one PostgreSQL: what one records the other shows, and what one is asked for the other does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url
from tests.integration.batches.core import Core, core, fail, succeed
from tests.postgres import MIGRATED, session_server
from tests.unit.batches.samples import item

from imagebatch.v1.enums import BatchStatus, ItemErrorCode
from imagebatch_server.batches import cursor
from imagebatch_server.batches.model import Batch, BatchChange, ItemResult, RetryRequest
from imagebatch_server.batches.ports.batches import OutcomeStore
from imagebatch_server.batches.ports.servers import NewsKind
from imagebatch_server.batches.ring import Update
from imagebatch_server.store import news as shared

pytestmark = pytest.mark.postgres

NEVER_S = 3_600.0
NOBODYS = "0195d2f0-0000-7000-8000-000000000009"


@pytest.fixture
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with session_server(tmp_path_factory) as server:
        url = server.create_database(MIGRATED)
        yield url
        server.drop_database(url)


@pytest.fixture(autouse=True)
def only_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found by looking now and then: it must have been told."""
    monkeypatch.setattr(shared, "POLL_S", NEVER_S)
    monkeypatch.setattr(shared, "QUICK_POLL_S", NEVER_S)
    monkeypatch.setattr(cursor, "QUIET_S", NEVER_S)


class CountingStore:
    """Count the reads that are made for watchers."""

    def __init__(self, store: OutcomeStore) -> None:
        self.after_reads = self.news_reads = 0
        self._store = store
        self.record = store.record
        self.page = store.page

    async def after(self, tenant: str, batch_id: str, sequence: int, limit: int) -> Sequence[ItemResult]:
        self.after_reads += 1
        return await self._store.after(tenant, batch_id, sequence, limit)

    async def news(self, tenant: str, batch_id: str, sequence: int, limit: int) -> tuple[Batch, Sequence[ItemResult]]:
        self.news_reads += 1
        return await self._store.news(tenant, batch_id, sequence, limit)


@asynccontextmanager
async def two(tmp_path: Path, url: str) -> AsyncIterator[tuple[Core, Core]]:
    """Run two servers; attempts stay in flight until a test ends them."""
    async with (
        core(tmp_path / "one", answer=lambda _: None, url=url, is_shared=True) as one,
        core(tmp_path / "two", answer=lambda _: None, wrap=CountingStore, url=url, is_shared=True) as other,
    ):
        await hear(one, other)
        await hear(other, one)
        yield one, other


async def hear(made: Core, teller: Core) -> None:
    """Wait until one server hears what another tells."""
    heard = asyncio.Event()
    made.news.subscribe(lambda *_: heard.set())
    while not heard.is_set():
        teller.news.tell_others(NewsKind.RECORDED, "default", NOBODYS)
        with suppress(TimeoutError):
            await asyncio.wait_for(heard.wait(), 0.05)


def finish_one(made: Core) -> None:
    """End the attempt that has been in flight for the longest time."""
    made.executor.finish(succeed(next(iter(made.executor.in_flight.values()))))


async def until(updates: AsyncIterator[Update], sequence: int) -> list[bytes]:
    """Read a watch up to a sequence."""
    seen: list[bytes] = []
    async for update in updates:
        seen += update.results
        if update.sequence >= sequence:
            break
    assert update.sequence == sequence
    return seen


async def test_a_watch_through_another_server_sees_each_outcome_once(tmp_path: Path, url: str) -> None:
    async with two(tmp_path, url) as (one, other):
        batch = await one.submit([item(index) for index in range(6)])
        await one.executor.holds(6)
        updates = other.watchers.watch("default", batch.batch_id, 0, ())
        for sequence in range(1, 6):
            finish_one(one)
            assert len(await until(updates, sequence)) == 1
        finish_one(one)
        rest = [update async for update in updates]
        assert sum(len(update.results) for update in rest) == 1
        assert rest[-1].batch is not None
        assert rest[-1].batch.status is BatchStatus.COMPLETED


async def test_what_is_recorded_while_a_watch_begins_is_told_too(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two(tmp_path, url) as (one, other):
        batch = await one.submit([item(0)])
        await one.executor.holds(1)
        updates = other.watchers.watch("default", batch.batch_id, 0, ())
        get = other.batch_store.get

        async def get_and_commit(tenant: str, batch_id: str) -> Batch:
            found = await get(tenant, batch_id)
            finish_one(one)
            await one.ended(batch)
            return found

        monkeypatch.setattr(other.batch_store, "get", get_and_commit)
        seen = [update async for update in updates]
        assert [len(update.results) for update in seen if update.results] == [1]


async def test_many_watchers_cost_one_read_of_each_commit(tmp_path: Path, url: str) -> None:
    async with two(tmp_path, url) as (one, other):
        assert isinstance(other.outcomes, CountingStore)
        batch = await one.submit([item(index) for index in range(8)])
        await one.executor.holds(8)
        watches = [other.watchers.watch("default", batch.batch_id, 0, ()) for _ in range(20)]
        for updates in watches:
            await anext(updates)  # where the batch is
        before = other.outcomes.after_reads, other.outcomes.news_reads
        for sequence in range(1, 5):
            finish_one(one)
            for seen in await asyncio.gather(*(until(updates, sequence) for updates in watches)):
                assert len(seen) == 1
        assert other.outcomes.after_reads == before[0]
        assert other.outcomes.news_reads <= before[1] + 5  # the first answer to the watch among them


async def test_what_was_recorded_while_nothing_was_heard_is_found(tmp_path: Path, url: str) -> None:
    async with two(tmp_path, url) as (one, other):
        batch = await one.submit([item(index) for index in range(8)])
        await one.executor.holds(8)
        updates = other.watchers.watch("default", batch.batch_id, 0, ())
        finish_one(one)
        await until(updates, 1)
        end_listeners(url)
        for _ in range(3):
            finish_one(one)
        await one.processed(batch, 4)
        assert len(await until(updates, 4)) == 3


async def test_a_cancellation_through_another_server_is_obeyed(tmp_path: Path, url: str) -> None:
    async with two(tmp_path, url) as (one, other):
        batch = await one.submit([item(index) for index in range(100)])
        await one.executor.holds(8)
        await other.batches.cancel("default", batch.batch_id)
        assert (await other.ended(batch)).status is BatchStatus.CANCELLED


async def test_a_pause_and_a_resumption_through_another_server_are_obeyed(tmp_path: Path, url: str) -> None:
    async with two(tmp_path, url) as (one, other):
        batch = await one.submit([item(index) for index in range(100)])
        await one.executor.holds(8)
        await other.batches.update("default", batch.batch_id, BatchChange(priority=9))
        await other.batches.pause("default", batch.batch_id)
        await one.executor.let_go()
        one.executor.answer = succeed
        resumed = await other.batches.resume("default", batch.batch_id)
        assert (resumed.options.priority, resumed.paused_at) == (9, None)
        ended = await other.ended(batch)
        assert (ended.status, ended.successful_items, ended.owner) == (BatchStatus.COMPLETED, 100, one.claim.owner)


async def test_a_retry_through_another_server_runs_and_both_show_it(tmp_path: Path, url: str) -> None:
    async with two(tmp_path, url) as (one, other):
        one.executor.answer = lambda dispatch: fail(dispatch, ItemErrorCode.PROVIDER_ERROR, transient=False)
        other.executor.answer = succeed
        batch = await one.submit([item(index) for index in range(3)])
        assert (await other.ended(batch)).status is BatchStatus.FAILED
        await other.batches.retry("default", batch.batch_id, RetryRequest())
        seen = [update async for update in one.watchers.watch("default", batch.batch_id, 3, ())]
        assert sorted(result for update in seen for result in update.results) == [
            f"{index}:success".encode() for index in range(3)
        ]
        assert seen[-1].sequence == 6


def end_listeners(url: str) -> None:
    """End PostgreSQL's processes that somebody listens by."""
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
