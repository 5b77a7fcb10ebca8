"""What two servers on one PostgreSQL do to the same batch at the same moment: the second one waits for the first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import Connection
from tests.integration.ports.values import (
    NOON,
    TENANT,
    at,
    commit,
    created,
    failed,
    item,
    items,
    made,
    new_batch,
    options,
    stored,
    success,
)
from tests.integration.ports.values import record as record_all
from tests.unit.batches.samples import allowing

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.batches.errors import (
    BatchNotFound,
    BatchNotTerminal,
    LimitExceeded,
    RequestIdReused,
    StoreUnavailable,
)
from imagebatch_server.batches.model import Batch, RetryRequest
from imagebatch_server.batches.quotas import Quotas
from imagebatch_server.store import removal, staging
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.object_rows import SqlObjectRows, remove
from imagebatch_server.store.outcomes import SqlOutcomeStore
from imagebatch_server.store.record import record
from imagebatch_server.store.retry import retry
from imagebatch_server.store.submit import create

pytestmark = pytest.mark.postgres


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
async def ended(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> Batch:
    """Make a batch that failed."""
    return await record_all(outcomes, await made(batches, 2), failed(0), failed(1))


@pytest.fixture
def other(database: Database, open_database: Callable[[], Database]) -> Iterator[Connection]:
    """Begin a transaction of another server, which a test commits when it likes."""
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
    first, _ = create(
        other, new_batch(options(request_id="r")), items(2), [], owner="other", quotas=Quotas(max_running_batches=9)
    )
    second = asyncio.create_task(created(batches, new_batch(options(request_id="r")), items(2)))
    third = asyncio.create_task(created(batches, new_batch(options(request_id="r"), content="b"), items(2)))
    await until_one_waits(url)
    other.commit()
    assert await second == first
    with pytest.raises(RequestIdReused, match=first.batch_id):
        await third


async def test_the_second_goes_on_if_the_first_gives_up(url: str, batches: SqlBatchStore, other: Connection) -> None:
    create(other, new_batch(options(request_id="r")), items(2), [], owner="other", quotas=Quotas(max_running_batches=9))
    new = new_batch(options(request_id="r"))
    second = asyncio.create_task(created(batches, new, items(2)))
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


async def test_of_two_staged_batches_with_one_request_id_the_second_answers_the_first(
    url: str, batches: SqlBatchStore, other: Connection
) -> None:
    first, second = [new_batch(options(request_id="r")) for _ in range(2)]
    for new in (first, second):
        await batches.stage(new)
        await batches.stage_items(new, items(2), [])
    published = staging.publish(other, first, 2, owner="other", quotas=Quotas(max_running_batches=9))
    late = asyncio.create_task(batches.publish(second, 2))
    await until_one_waits(url)
    other.commit()
    assert await late == published


async def test_what_is_being_published_is_not_discarded(url: str, batches: SqlBatchStore, other: Connection) -> None:
    new = new_batch()
    await batches.stage(new)
    await batches.stage_items(new, items(2), [])
    published = staging.publish(other, new, 2, owner="other", quotas=Quotas(max_running_batches=9))
    late = asyncio.create_task(batches.discard(TENANT, new.batch_id))
    await until_one_waits(url)
    other.commit()
    await late
    assert await batches.get(TENANT, new.batch_id) == published


async def test_no_items_come_to_what_is_being_discarded(url: str, batches: SqlBatchStore, other: Connection) -> None:
    new = new_batch()
    await batches.stage(new)
    staging.discard(other, (TENANT, new.batch_id))
    late = asyncio.create_task(batches.stage_items(new, items(2), []))
    await until_one_waits(url)
    other.commit()
    with pytest.raises(StoreUnavailable, match="given up"):
        await late
    assert await batches.remove_hidden(1_000) == 1


async def test_of_two_retries_one_reopens_the_batch(
    url: str, batches: SqlBatchStore, other: Connection, ended: Batch
) -> None:
    again, reopened = retry(
        other, (TENANT, ended.batch_id), RetryRequest(), NOON, lambda _: "other", quotas=Quotas(max_running_batches=9)
    )
    late = asyncio.create_task(batches.retry(TENANT, ended.batch_id, RetryRequest(), NOON))
    await until_one_waits(url)
    other.commit()
    assert (reopened, await late) == (True, (again, False))


async def test_a_batch_being_reopened_is_neither_deleted_nor_expired(
    url: str, batches: SqlBatchStore, other: Connection, ended: Batch
) -> None:
    again, _ = retry(
        other, (TENANT, ended.batch_id), RetryRequest(), NOON, lambda _: "other", quotas=Quotas(max_running_batches=9)
    )
    assert list(await batches.expire(at(10**6), 10)) == []  # what is locked is left for the next round
    late = asyncio.create_task(batches.hide(TENANT, ended.batch_id))
    await until_one_waits(url)
    other.commit()
    with pytest.raises(BatchNotTerminal, match="processing"):
        await late
    assert await batches.get(TENANT, ended.batch_id) == again


async def test_a_batch_being_deleted_is_not_reopened(
    url: str, batches: SqlBatchStore, other: Connection, ended: Batch
) -> None:
    removal.hide(other, (TENANT, ended.batch_id))
    late = asyncio.create_task(batches.retry(TENANT, ended.batch_id, RetryRequest(), NOON))
    await until_one_waits(url)
    other.commit()
    with pytest.raises(BatchNotFound):
        await late


async def test_two_servers_remove_different_batches(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, other: Connection, ended: Batch
) -> None:
    second = await record_all(outcomes, await made(batches, 1), success(0))
    for batch in (ended, second):
        await batches.hide(TENANT, batch.batch_id)
    assert removal.remove_hidden(other, 2) == 2
    assert await batches.remove_hidden(1_000) == 3  # the second one's
    assert await batches.remove_hidden(1_000) == 0
    other.commit()
    assert await batches.remove_hidden(1_000) == 4  # what is left of the first, with what its failures have in common


async def test_an_object_that_is_being_named_is_not_swept(
    url: str, objects: SqlObjectRows, batches: SqlBatchStore, other: Connection
) -> None:
    await objects.add(stored("one.upload"))
    naming = [item(0, object_key="one.upload")]
    create(other, new_batch(), naming, [], owner="other", quotas=Quotas(max_running_batches=9))
    assert list(await objects.unreferenced(at(1), 10)) == ["one.upload"]
    sweep = asyncio.create_task(objects.remove(["one.upload"], at(1)))
    await until_one_waits(url)
    other.commit()
    assert list(await sweep) == []
    assert await objects.known(["one.upload"])


async def test_submissions_of_one_tenant_take_no_room_twice(
    url: str, database: Database, objects: SqlObjectRows, other: Connection
) -> None:
    """Also if they name one object, which they lock after the tenant."""
    await objects.add(stored("one.upload"))
    naming = [item(0, object_key="one.upload")]
    batches = SqlBatchStore(database, owner="one", quotas=allowing(2))
    create(other, new_batch(), naming, [], owner="other", quotas=Quotas(max_running_batches=2))
    second, third = (asyncio.create_task(created(batches, new_batch(), naming)) for _ in range(2))
    await until_one_waits(url)
    other.commit()
    assert (await second).total_items == 1
    with pytest.raises(LimitExceeded):
        await third


async def test_an_object_that_is_being_swept_is_gone_before_it_is_named(
    url: str, objects: SqlObjectRows, batches: SqlBatchStore, other: Connection
) -> None:
    await objects.add(stored("one.upload"))
    assert remove(other, ["one.upload"], at(1)) == ["one.upload"]
    late = asyncio.create_task(created(batches, new_batch(), [item(0, object_key="one.upload")]))
    await until_one_waits(url)
    other.commit()
    assert (await late).total_items == 1
    assert not await objects.known(["one.upload"])


async def test_an_object_that_a_stream_is_naming_is_not_swept(
    url: str, objects: SqlObjectRows, batches: SqlBatchStore, other: Connection
) -> None:
    await objects.add(stored("one.upload"))
    new = new_batch()
    await batches.stage(new)
    staging.stage_items(other, new, [item(0, object_key="one.upload")], [], Quotas())
    sweep = asyncio.create_task(objects.remove(["one.upload"], at(1)))
    await until_one_waits(url)
    other.commit()
    assert list(await sweep) == []
