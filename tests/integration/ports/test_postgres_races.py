"""What two servers on one PostgreSQL do to the same batch at the same moment: the second one waits for the first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import Connection
from tests.integration.ports.values import TENANT, at, commit, items, made, new_batch, options, success

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.batches.errors import RequestIdReused
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.outcomes import SqlOutcomeStore
from imagebatch_server.store.record import record
from imagebatch_server.store.submit import create

pytestmark = pytest.mark.postgres


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def other(database: Database, open_database: Callable[[], Database]) -> Iterator[Connection]:
    """A transaction of another server, which a test commits when it likes."""
    with open_database()._writer_engine.connect() as connection:
        yield connection


async def until_one_waits(url: str) -> None:
    """Until a connection to the database waits for another one's lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        waiting = 0
        while not waiting:
            ((waiting,),) = await asyncio.to_thread(lambda: connection.execute(query).fetchall())


async def test_of_two_submits_with_one_request_id_the_second_answers_the_first(
    url: str, batches: SqlBatchStore, other: Connection
) -> None:
    first = create(other, new_batch(options(request_id="r")), items(2), [], owner="other", max_running_batches=9)
    second = asyncio.create_task(batches.create(new_batch(options(request_id="r")), items(2), []))
    third = asyncio.create_task(batches.create(new_batch(options(request_id="r"), content="b"), items(2), []))
    await until_one_waits(url)
    other.commit()
    assert await second == first
    with pytest.raises(RequestIdReused, match=first.batch_id):
        await third


async def test_the_second_goes_on_if_the_first_gives_up(url: str, batches: SqlBatchStore, other: Connection) -> None:
    create(other, new_batch(options(request_id="r")), items(2), [], owner="other", max_running_batches=9)
    new = new_batch(options(request_id="r"))
    second = asyncio.create_task(batches.create(new, items(2), []))
    await until_one_waits(url)
    other.rollback()
    assert (await second).batch_id == new.batch_id


async def test_a_sequence_is_taken_after_those_before_it_are_committed(
    url: str, batches: SqlBatchStore, outcomes: SqlOutcomeStore, other: Connection
) -> None:
    batch = await made(batches, 3)
    record(other, [commit(batch, [success(0)])], at(1), recheck=False)
    second = asyncio.create_task(outcomes.record([commit(batch, [success(1)])], at(2), recheck=False))
    await until_one_waits(url)
    assert list(await outcomes.after(TENANT, batch.batch_id, 0, 10)) == []
    other.commit()
    await second
    found = await outcomes.after(TENANT, batch.batch_id, 0, 10)
    assert [(result.sequence, result.item.item_index) for result in found] == [(1, 0), (2, 1)]


async def test_a_second_try_waits_for_the_first_that_is_still_committing(
    url: str, batches: SqlBatchStore, outcomes: SqlOutcomeStore, other: Connection
) -> None:
    batch = await made(batches, 3)
    commits = [commit(batch, [success(0), success(2)])]
    first = record(other, commits, at(1), recheck=False)
    second = asyncio.create_task(outcomes.record(commits, at(2), recheck=True))
    await until_one_waits(url)
    other.commit()
    assert list(await second) == list(first)
    assert len(await outcomes.after(TENANT, batch.batch_id, 0, 10)) == 2


async def test_a_cancel_that_meets_the_last_outcome_finds_the_batch_ended(
    url: str, batches: SqlBatchStore, other: Connection
) -> None:
    batch = await made(batches, 1)
    (ended,) = record(other, [commit(batch, [success(0)])], at(1), recheck=False)
    cancel = asyncio.create_task(batches.request_cancel(TENANT, batch.batch_id, at(2)))
    await until_one_waits(url)
    other.commit()
    assert await cancel == ended
    assert ended is not None
    assert ended.status is BatchStatus.COMPLETED


async def test_a_last_outcome_that_meets_a_cancel_ends_the_batch_cancelled(
    url: str, batches: SqlBatchStore, outcomes: SqlOutcomeStore, open_database: Callable[[], Database]
) -> None:
    batch = await made(batches, 1)
    with open_database()._writer_engine.connect() as other:
        other.exec_driver_sql("UPDATE batches SET cancel_requested_at = now()")
        last = asyncio.create_task(outcomes.record([commit(batch, [success(0)])], at(2), recheck=False))
        await until_one_waits(url)
        other.commit()
    (ended,) = await last
    assert ended is not None
    assert ended.status is BatchStatus.CANCELLED
