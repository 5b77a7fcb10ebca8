"""The port `BatchStore`: deleting batches, and removing their rows afterwards."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection
from tests.integration.ports.values import (
    NOON,
    TENANT,
    all_successful,
    at,
    commit,
    created,
    failed,
    items,
    made,
    new_batch,
    options,
    record,
    success,
)

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.batches.errors import BatchNotFound, BatchNotTerminal
from imagebatch_server.batches.model import Batch, BatchFilter, ItemFilter, RetryRequest
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.outcomes import SqlOutcomeStore

TABLES = ("batches", "batch_labels", "items", "outcomes")


async def done(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, count: int = 3, request_id: str | None = None, seconds: float = 1
) -> Batch:
    batch = await made(batches, count, options(labels={"a": "b", "c": "d"}, request_id=request_id))
    return await record(outcomes, batch, *all_successful(batch), seconds=seconds)


async def rows(database: Database) -> dict[str, int]:
    """How many there are in each table of batches."""

    def count(connection: Connection) -> dict[str, int]:
        return {
            table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()  # noqa: S608 - our own
            for table in TABLES
        }

    return await database.read(count)


async def test_a_hidden_batch_is_invisible(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch, kept = await done(batches, outcomes, request_id="r"), await done(batches, outcomes)
    await batches.hide(TENANT, batch.batch_id)
    for read in (
        batches.get(TENANT, batch.batch_id),
        batches.request_cancel(TENANT, batch.batch_id, at(1)),
        batches.retry(TENANT, batch.batch_id, RetryRequest(), NOON),
        batches.hide(TENANT, batch.batch_id),
        outcomes.page(TENANT, batch.batch_id, ItemFilter(), 0, 10),
        outcomes.after(TENANT, batch.batch_id, 0, 10),
    ):
        with pytest.raises(BatchNotFound):
            await read
    assert list(await batches.list(TENANT, BatchFilter(), 10, None)) == [kept]
    assert list(await batches.list(TENANT, BatchFilter(labels={"a": "b"}), 10, None)) == [kept]
    assert list(await batches.running()) == []
    assert list(await outcomes.record([commit(batch, [success(0)])], at(2), recheck=True)) == [None]
    assert await batches.find_request(new_batch(options(request_id="r"))) is None


async def test_hiding_frees_the_request_id(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await done(batches, outcomes, request_id="r")
    await batches.hide(TENANT, batch.batch_id)
    anew = new_batch(options(request_id="r"), content="b")
    assert (await created(batches, anew, items(1))).batch_id == anew.batch_id


async def test_only_terminal_batches_are_hidden(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await made(batches, 2)
    with pytest.raises(BatchNotTerminal, match="pending"):
        await batches.hide(TENANT, batch.batch_id)
    running = await record(outcomes, batch, success(0))
    with pytest.raises(BatchNotTerminal, match="processing"):
        await batches.hide(TENANT, batch.batch_id)
    assert await batches.get(TENANT, batch.batch_id) == running
    with pytest.raises(BatchNotFound):
        await batches.hide("two", batch.batch_id)


@pytest.mark.parametrize("step", [1, 4, 7, 1_000])
async def test_rows_are_removed_in_steps(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore, step: int
) -> None:
    kept = await done(batches, outcomes, 3)
    others = await rows(database)
    for count in (5, 1, 2):
        await batches.hide(TENANT, (await done(batches, outcomes, count)).batch_id)
    most, removed = 0, 0
    while part := await batches.remove_hidden(step):
        most, removed = max(most, part), removed + part
    assert removed == 2 * (5 + 1 + 2) + 3 * (1 + 2)
    assert most <= max(step, 2) + 3  # a batch goes with its labels
    assert await rows(database) == others
    assert await batches.get(TENANT, kept.batch_id) == kept
    assert len(await outcomes.after(TENANT, kept.batch_id, 0, 10)) == 3


async def test_with_nothing_hidden_nothing_is_removed(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    await done(batches, outcomes)
    await made(batches, 2)
    before = await rows(database)
    assert await batches.remove_hidden(1_000) == 0
    assert await rows(database) == before


async def test_batches_that_ended_before_a_time_expire(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    ends = [await done(batches, outcomes, seconds=seconds) for seconds in (30, 10, 40, 20)]
    running = await made(batches, 1)
    other = await created(batches, new_batch(tenant="two"), items(1))
    (other_end,) = await outcomes.record([commit(other, [success(0)])], at(15), recheck=False)
    assert other_end is not None
    assert other_end.status is BatchStatus.COMPLETED
    assert list(await batches.expire(at(10), 10)) == []
    first = await batches.expire(at(40), 2)
    assert set(first) == {(TENANT, ends[1].batch_id), ("two", other.batch_id)}
    second = await batches.expire(at(40), 10)
    assert set(second) == {(TENANT, ends[3].batch_id), (TENANT, ends[0].batch_id)}
    assert list(await batches.expire(at(40), 10)) == []
    assert list(await batches.list(TENANT, BatchFilter(), 10, None)) == [running, ends[2]]
    assert await batches.get(TENANT, ends[2].batch_id) == ends[2]


async def test_a_reopened_batch_does_not_expire(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await made(batches, 1)
    await record(outcomes, batch, failed(0))
    await batches.retry(TENANT, batch.batch_id, RetryRequest(), NOON)
    assert list(await batches.expire(at(10**6), 10)) == []
