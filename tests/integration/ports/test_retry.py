"""The port `BatchStore`: reopening batches whose items failed."""

from __future__ import annotations

from functools import partial

import pytest
from tests.integration.ports.values import TENANT, at, commit, failed, made, new_batch, record, skipped, success

from imagebatch.v1.enums import BatchStatus, ItemErrorCode
from imagebatch_server.batches.errors import BatchNotFound, BatchNotRetryable, LimitExceeded
from imagebatch_server.batches.model import Batch
from imagebatch_server.store.audit import audit
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.outcomes import SqlOutcomeStore

TIMEOUT = ItemErrorCode.TIMEOUT
FAILURE_LIMIT = ItemErrorCode.FAILURE_LIMIT


async def ended(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> Batch:
    """A batch that ended partially completed, with one outcome of each kind."""
    return await record(
        outcomes,
        await made(batches, 7),
        success(1),
        failed(0),
        failed(2, TIMEOUT),
        skipped(3, FAILURE_LIMIT),
        skipped(4, ItemErrorCode.DUPLICATE),
        success(5),
        failed(6, TIMEOUT),
    )


async def pending(batches: SqlBatchStore, batch: Batch) -> list[int]:
    return [one.item_index for one in await batches.pending_items(TENANT, batch.batch_id, -1, 100)]


async def audited(database: Database, batch: Batch) -> list[str]:
    return await database.read(partial(audit, tenant=TENANT, batch_id=batch.batch_id))


async def test_failed_items_and_those_past_the_failure_limit_are_pending_again(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await ended(batches, outcomes)
    assert batch.status is BatchStatus.PARTIALLY_COMPLETED
    again, reopened = await batches.retry(TENANT, batch.batch_id, [])
    assert reopened
    assert await batches.get(TENANT, batch.batch_id) == again
    assert await pending(batches, again) == [0, 2, 3, 6]
    assert (again.status, again.completed_at, again.started_at) == (BatchStatus.PROCESSING, None, batch.started_at)
    assert (again.successful_items, again.failed_items, again.skipped_items) == (2, 0, 1)
    assert (again.failure_counts, again.owner_epoch, again.last_sequence) == ({}, 2, 7)
    assert (again.processing_time_ms, again.timed_items) == (11 + 15, 2)
    assert (again.input_tokens, again.output_tokens) == (2 * 3, 2 * 5)
    assert (again.judged_from_successful, again.judged_from_failed) == (2, 0)
    assert (again.outcomes_per_s, again.rated_at) == (None, None)
    assert await audited(database, batch) == []


async def test_only_the_given_codes_are_retried(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await ended(batches, outcomes)
    again, reopened = await batches.retry(TENANT, batch.batch_id, [TIMEOUT, FAILURE_LIMIT, ItemErrorCode.DUPLICATE])
    assert reopened
    assert await pending(batches, again) == [2, 3, 6]
    assert again.failure_counts == {"fetch_failed": 1}
    assert (again.judged_from_successful, again.judged_from_failed) == (2, 1)
    assert await audited(database, batch) == []


async def test_sequences_go_on_rising_and_the_batch_ends_again(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await ended(batches, outcomes)
    again, _ = await batches.retry(TENANT, batch.batch_id, [])
    last = await record(outcomes, again, success(6), success(3), success(0), success(2), seconds=9)
    assert (last.status, last.completed_at, last.last_sequence) == (BatchStatus.COMPLETED, at(9), 11)
    found = await outcomes.after(TENANT, batch.batch_id, 0, 100)
    assert [(result.sequence, result.item.item_index) for result in found] == [
        (1, 1),
        (5, 4),
        (6, 5),
        (8, 6),
        (9, 3),
        (10, 0),
        (11, 2),
    ]
    assert await audited(database, batch) == []
    assert await batches.retry(TENANT, batch.batch_id, []) == (last, False)


async def test_what_was_recorded_for_the_batch_before_is_not_written(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await ended(batches, outcomes)
    again, _ = await batches.retry(TENANT, batch.batch_id, [])
    for recheck in (False, True):
        assert list(await outcomes.record([commit(batch, [failed(0)])], at(3), recheck=recheck)) == [None]
    assert await batches.get(TENANT, batch.batch_id) == again
    assert await audited(database, batch) == []


async def test_the_batch_is_owned_by_who_reopened_it(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await ended(batches, outcomes)
    await SqlBatchStore(database, owner="two", max_running_batches=9).retry(TENANT, batch.batch_id, [])
    owner = await database.read(lambda connection: connection.exec_driver_sql("SELECT owner FROM batches").scalar_one())
    assert owner == "two"


async def test_a_running_batch_is_answered_as_it_is(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    waiting = await made(batches, 2)
    assert await batches.retry(TENANT, waiting.batch_id, []) == (waiting, False)
    running = await record(outcomes, waiting, failed(0))
    assert await batches.retry(TENANT, waiting.batch_id, []) == (running, False)
    batch = await ended(batches, outcomes)
    again, _ = await batches.retry(TENANT, batch.batch_id, [])
    assert await batches.retry(TENANT, batch.batch_id, []) == (again, False)


async def test_with_nothing_to_retry_the_batch_is_answered_as_it_is(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    done = await record(outcomes, await made(batches, 1), success(0))
    assert await batches.retry(TENANT, done.batch_id, []) == (done, False)
    batch = await ended(batches, outcomes)
    codes = [ItemErrorCode.INTERNAL, ItemErrorCode.DUPLICATE, ItemErrorCode.CANCELLED]
    assert await batches.retry(TENANT, batch.batch_id, codes) == (batch, False)


async def test_a_cancelled_batch_is_not_reopened(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await made(batches, 2)
    await batches.request_cancel(TENANT, batch.batch_id, at(1))
    cancelled = await record(outcomes, batch, failed(0), skipped(1))
    with pytest.raises(BatchNotRetryable, match="cancelled"):
        await batches.retry(TENANT, batch.batch_id, [])
    assert await batches.get(TENANT, batch.batch_id) == cancelled


async def test_a_batch_is_not_reopened_where_too_many_run(database: Database, outcomes: SqlOutcomeStore) -> None:
    batches = SqlBatchStore(database, owner="one", max_running_batches=1)
    batch = await ended(batches, outcomes)
    running = await made(batches, 1)
    with pytest.raises(LimitExceeded):
        await batches.retry(TENANT, batch.batch_id, [])
    assert await batches.get(TENANT, batch.batch_id) == batch
    await record(outcomes, running, success(0))
    assert (await batches.retry(TENANT, batch.batch_id, []))[1]


async def test_an_unknown_batch_can_not_be_retried(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    with pytest.raises(BatchNotFound):
        await batches.retry(TENANT, new_batch().batch_id, [])
    batch = await ended(batches, outcomes)
    with pytest.raises(BatchNotFound):
        await batches.retry("two", batch.batch_id, [])
