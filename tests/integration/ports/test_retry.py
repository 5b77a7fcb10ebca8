"""The port `BatchStore`: reopening batches whose items failed."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import select
from tests.integration.ports.values import NOON, TENANT, at, commit, failed, made, new_batch, record, skipped, success
from tests.unit.batches.samples import allowing

from imagebatch.v1.enums import BatchStatus, ItemErrorCode
from imagebatch_server.batches.errors import BatchNotFound, BatchNotRetryable, LimitExceeded, RequestIdReused
from imagebatch_server.batches.model import Batch, RetryRequest
from imagebatch_server.store.audit import audit
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.outcomes import SqlOutcomeStore
from imagebatch_server.store.tables import retries

TIMEOUT = ItemErrorCode.TIMEOUT
FAILURE_LIMIT = ItemErrorCode.FAILURE_LIMIT


async def ended(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> Batch:
    """Make a batch that ended partially completed, with one outcome of each kind."""
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
    again, reopened = await batches.retry(TENANT, batch.batch_id, RetryRequest(), NOON)
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
    again, reopened = await batches.retry(
        TENANT, batch.batch_id, RetryRequest([TIMEOUT, FAILURE_LIMIT, ItemErrorCode.DUPLICATE]), NOON
    )
    assert reopened
    assert await pending(batches, again) == [2, 3, 6]
    assert again.failure_counts == {"fetch_failed": 1}
    assert (again.judged_from_successful, again.judged_from_failed) == (2, 1)
    assert await audited(database, batch) == []


async def test_sequences_go_on_rising_and_the_batch_ends_again(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await ended(batches, outcomes)
    again, _ = await batches.retry(TENANT, batch.batch_id, RetryRequest(), NOON)
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
    assert await batches.retry(TENANT, batch.batch_id, RetryRequest(), NOON) == (last, False)


async def test_what_was_recorded_for_the_batch_before_is_not_written(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await ended(batches, outcomes)
    again, _ = await batches.retry(TENANT, batch.batch_id, RetryRequest(), NOON)
    for recheck in (False, True):
        assert list(await outcomes.record([commit(batch, [failed(0)])], at(3), recheck=recheck)) == [None]
    assert await batches.get(TENANT, batch.batch_id) == again
    assert await audited(database, batch) == []


async def test_the_batch_is_owned_by_who_reopened_it(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await ended(batches, outcomes)
    await SqlBatchStore(database, owner="two", quotas=allowing(9)).retry(TENANT, batch.batch_id, RetryRequest(), NOON)
    owner = await database.read(lambda connection: connection.exec_driver_sql("SELECT owner FROM batches").scalar_one())
    assert owner == "two"


async def test_a_running_batch_is_answered_as_it_is(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    waiting = await made(batches, 2)
    assert await batches.retry(TENANT, waiting.batch_id, RetryRequest(), NOON) == (waiting, False)
    running = await record(outcomes, waiting, failed(0))
    assert await batches.retry(TENANT, waiting.batch_id, RetryRequest(), NOON) == (running, False)
    batch = await ended(batches, outcomes)
    again, _ = await batches.retry(TENANT, batch.batch_id, RetryRequest(), NOON)
    assert await batches.retry(TENANT, batch.batch_id, RetryRequest(), NOON) == (again, False)


async def test_with_nothing_to_retry_the_batch_is_answered_as_it_is(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    done = await record(outcomes, await made(batches, 1), success(0))
    assert await batches.retry(TENANT, done.batch_id, RetryRequest(), NOON) == (done, False)
    batch = await ended(batches, outcomes)
    codes = [ItemErrorCode.INTERNAL, ItemErrorCode.DUPLICATE, ItemErrorCode.CANCELLED]
    assert await batches.retry(TENANT, batch.batch_id, RetryRequest(codes), NOON) == (batch, False)


async def test_a_cancelled_batch_is_not_reopened(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await made(batches, 2)
    await batches.request_cancel(TENANT, batch.batch_id, at(1))
    cancelled = await record(outcomes, batch, failed(0), skipped(1))
    with pytest.raises(BatchNotRetryable, match="cancelled"):
        await batches.retry(TENANT, batch.batch_id, RetryRequest(), NOON)
    assert await batches.get(TENANT, batch.batch_id) == cancelled


async def test_a_batch_is_not_reopened_where_too_many_run(database: Database, outcomes: SqlOutcomeStore) -> None:
    batches = SqlBatchStore(database, owner="one", quotas=allowing(1))
    batch = await ended(batches, outcomes)
    running = await made(batches, 1)
    with pytest.raises(LimitExceeded):
        await batches.retry(TENANT, batch.batch_id, RetryRequest(), NOON)
    assert await batches.get(TENANT, batch.batch_id) == batch
    await record(outcomes, running, success(0))
    assert (await batches.retry(TENANT, batch.batch_id, RetryRequest(), NOON))[1]


async def test_an_unknown_batch_can_not_be_retried(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    with pytest.raises(BatchNotFound):
        await batches.retry(TENANT, new_batch().batch_id, RetryRequest(), NOON)
    batch = await ended(batches, outcomes)
    with pytest.raises(BatchNotFound):
        await batches.retry("two", batch.batch_id, RetryRequest(), NOON)


async def test_only_the_named_items_are_retried(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await ended(batches, outcomes)
    ids = ["own-0", "nobody", *(f"{batch.batch_id}-{index}" for index in (1, 2, 99))]  # 1 succeeded
    again, reopened = await batches.retry(TENANT, batch.batch_id, RetryRequest(item_ids=ids), NOON)
    assert reopened
    assert await pending(batches, again) == [0, 2]
    assert await audited(database, batch) == []


async def test_codes_and_ids_combine(database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await ended(batches, outcomes)
    ids = ["own-0", f"{batch.batch_id}-2"]
    none = RetryRequest([FAILURE_LIMIT], ids)
    assert await batches.retry(TENANT, batch.batch_id, none, NOON) == (batch, False)
    again, _ = await batches.retry(TENANT, batch.batch_id, RetryRequest([TIMEOUT], ids), NOON)
    assert await pending(batches, again) == [2]


async def fail_again(outcomes: SqlOutcomeStore, batch: Batch) -> Batch:
    """End a batch of which items 2 and 6 were reopened."""
    return await record(outcomes, batch, failed(2, TIMEOUT), failed(6, TIMEOUT))


async def test_a_repeat_reopens_nothing_for_a_day(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await ended(batches, outcomes)
    request, other = (RetryRequest([TIMEOUT], request_id=name, content_sha256="a") for name in ("r", "other"))
    again, reopened = await batches.retry(TENANT, batch.batch_id, request, NOON)
    assert reopened
    assert await batches.retry(TENANT, batch.batch_id, request, at(1)) == (again, False)
    failed_again = await fail_again(outcomes, again)
    assert await batches.retry(TENANT, batch.batch_id, request, at(2)) == (failed_again, False)

    third, reopened = await batches.retry(TENANT, batch.batch_id, other, at(3))
    assert reopened, "another id asks anew"
    failed_again = await fail_again(outcomes, third)
    assert await batches.retry(TENANT, batch.batch_id, request, at(86_400)) == (failed_again, False)
    assert (await batches.retry(TENANT, batch.batch_id, request, at(86_401)))[1], "a day later it is new"
    assert await audited(database, batch) == []


async def test_what_a_running_batch_answered_is_remembered_too(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 2)
    request = RetryRequest(request_id="r")
    assert await batches.retry(TENANT, batch.batch_id, request, NOON) == (batch, False)
    done = await record(outcomes, batch, failed(0), failed(1))
    assert await batches.retry(TENANT, batch.batch_id, request, at(1)) == (done, False)


async def test_an_id_stands_for_one_choice_of_one_batch(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch, another = await ended(batches, outcomes), await ended(batches, outcomes)
    request = RetryRequest([TIMEOUT], request_id="r", content_sha256="a")
    assert (await batches.retry(TENANT, batch.batch_id, request, NOON))[1]
    with pytest.raises(RequestIdReused, match="r already retried batch"):
        await batches.retry(TENANT, batch.batch_id, RetryRequest(request_id="r", content_sha256="b"), NOON)
    assert (await batches.retry(TENANT, another.batch_id, request, NOON))[1]


async def test_a_retry_that_was_refused_is_not_remembered(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    full = SqlBatchStore(database, owner="one", quotas=allowing(1))
    batch = await ended(batches, outcomes)
    running = await made(batches, 1)
    request = RetryRequest(request_id="r")
    with pytest.raises(LimitExceeded):
        await full.retry(TENANT, batch.batch_id, request, NOON)
    await record(outcomes, running, success(0))
    assert (await full.retry(TENANT, batch.batch_id, request, at(1)))[1]


async def test_what_is_remembered_goes_with_its_batch(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await ended(batches, outcomes)
    again, _ = await batches.retry(TENANT, batch.batch_id, RetryRequest([TIMEOUT], request_id="r"), NOON)
    await fail_again(outcomes, again)
    await batches.hide(TENANT, batch.batch_id)
    while await batches.remove_hidden(100):
        pass
    assert await database.read(lambda connection: connection.execute(select(retries)).all()) == []
