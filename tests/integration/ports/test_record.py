"""The port `OutcomeStore`, its writing half: the recorder's transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest
from msgspec import structs
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from tests.integration.ports.values import (
    TENANT,
    at,
    commit,
    failed,
    made,
    new_batch,
    record,
    skipped,
    stored,
    success,
)

from imagebatch.v1.enums import BatchItemStatus, BatchStatus, ItemErrorCode
from imagebatch_server.batches.errors import BatchNotFound
from imagebatch_server.batches.model import Batch, ItemFilter, Outcome
from imagebatch_server.batches.rate import Speed
from imagebatch_server.store.audit import audit
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.object_rows import SqlObjectRows
from imagebatch_server.store.outcomes import SqlOutcomeStore


async def audited(database: Database, batch: Batch) -> list[str]:
    return await database.read(partial(audit, tenant=batch.tenant, batch_id=batch.batch_id))


async def recorded(outcomes: SqlOutcomeStore, batch: Batch) -> list[tuple[int | None, int]]:
    """Sequence and index of every outcome."""
    found = await outcomes.after(batch.tenant, batch.batch_id, 0, 1_000)
    return [(result.sequence, result.item.item_index) for result in found]


async def test_outcomes_are_numbered_in_the_order_given(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 6)
    first = await record(outcomes, batch, success(4), failed(0))
    second = await record(outcomes, batch, skipped(2))
    assert (first.last_sequence, second.last_sequence) == (2, 3)
    assert await recorded(outcomes, batch) == [(1, 4), (2, 0), (3, 2)]
    assert await batches.get(TENANT, batch.batch_id) == second
    assert await audited(database, batch) == []


async def test_the_counters_are_those_of_the_outcomes(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 10)
    batch = await record(
        outcomes,
        batch,
        success(1),
        success(2),
        failed(3),
        failed(4, ItemErrorCode.TIMEOUT),
        failed(5, ItemErrorCode.TIMEOUT),
        skipped(6),
        skipped(7, ItemErrorCode.DUPLICATE),
    )
    assert (batch.successful_items, batch.failed_items, batch.skipped_items) == (2, 3, 2)
    assert batch.failure_counts == {"fetch_failed": 1, "timeout": 2}
    assert (batch.processing_time_ms, batch.timed_items) == (11 + 12 + 3, 5)
    assert (batch.input_tokens, batch.output_tokens) == (2 * 3 + 3 * 2, 2 * 5)
    assert batch.status is BatchStatus.PROCESSING
    assert await audited(database, batch) == []


async def test_every_failure_code_has_a_counter(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    of_skips = {ItemErrorCode.DUPLICATE, ItemErrorCode.CANCELLED, ItemErrorCode.FAILURE_LIMIT}
    codes = [code for code in ItemErrorCode if code not in of_skips]
    batch = await made(batches, len(codes))
    batch = await record(outcomes, batch, *(failed(index, code) for index, code in enumerate(codes)))
    assert batch.failure_counts == {code.value: 1 for code in codes}
    assert await audited(database, batch) == []


async def test_the_start_is_written_once(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await made(batches, 3)
    (started,) = await outcomes.record([commit(batch, [], started_at=at(1))], at(1), recheck=False)
    assert started is not None
    assert (started.status, started.started_at, started.last_sequence) == (BatchStatus.PROCESSING, at(1), 0)
    (again,) = await outcomes.record([commit(batch, [success(0)], started_at=at(2))], at(2), recheck=False)
    assert again is not None
    assert again.started_at == at(1)


async def test_outcomes_without_a_start_leave_a_batch_pending(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 2)
    (skipping,) = await outcomes.record([commit(batch, [skipped(0)], started_at=None)], at(1), recheck=False)
    assert skipping is not None
    assert (skipping.status, skipping.started_at) == (BatchStatus.PENDING, None)


async def test_the_rate_is_kept_with_its_time(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await made(batches, 2)
    rated = replace(commit(batch, [success(0)]), speed=Speed(12.5, 0.1))
    (kept,) = await outcomes.record([rated], at(3), recheck=False)
    assert kept is not None
    assert (kept.outcomes_per_s, kept.rate_error, kept.rated_at) == (12.5, 0.1, at(3))


@pytest.mark.parametrize(
    ("ends", "cancelled", "status"),
    [
        ([success(0), success(1)], False, BatchStatus.COMPLETED),
        ([success(0), skipped(1, ItemErrorCode.DUPLICATE)], False, BatchStatus.COMPLETED),
        ([failed(0), failed(1)], False, BatchStatus.FAILED),
        ([success(0), failed(1)], False, BatchStatus.PARTIALLY_COMPLETED),
        ([success(0), success(1)], True, BatchStatus.CANCELLED),
        ([failed(0), skipped(1)], True, BatchStatus.CANCELLED),
    ],
)
async def test_the_last_outcome_ends_the_batch(
    database: Database,
    batches: SqlBatchStore,
    outcomes: SqlOutcomeStore,
    ends: Sequence[Outcome],
    cancelled: bool,
    status: BatchStatus,
) -> None:
    batch = await made(batches, 2)
    if cancelled:
        await batches.request_cancel(TENANT, batch.batch_id, at(1))
    before = await record(outcomes, batch, ends[0], seconds=2)
    assert (before.status, before.completed_at) == (BatchStatus.PROCESSING, None)
    ended = await record(outcomes, batch, ends[1], seconds=3)
    assert (ended.status, ended.completed_at) == (status, at(3))
    assert await batches.get(TENANT, batch.batch_id) == ended
    assert await audited(database, batch) == []


async def test_a_terminal_batch_takes_no_outcome(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await made(batches, 1)
    ended = await record(outcomes, batch, success(0))
    assert list(await outcomes.record([commit(batch, [failed(0)])], at(9), recheck=False)) == [None]
    assert await batches.get(TENANT, batch.batch_id) == ended


async def test_an_owner_of_another_epoch_writes_nothing(
    database: Database,
    batches: SqlBatchStore,
    others: SqlBatchStore,
    outcomes: SqlOutcomeStore,
    objects: SqlObjectRows,
) -> None:
    stale = await made(batches, 2)
    (current,) = await others.take_over(["describe"])
    late = success(0, stored_object_key="one/result")
    assert list(await outcomes.record([commit(stale, [late])], at(1), recheck=False)) == [None]
    assert await batches.get(TENANT, stale.batch_id) == current
    assert await recorded(outcomes, stale) == []
    assert (await record(outcomes, current, late)).successful_items == 1
    assert await objects.get(TENANT, "one/result") == stored("one/result")
    assert await audited(database, stale) == []


async def test_batches_are_committed_together_and_answered_in_order(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    one, lost, two = [await made(batches, 3) for _ in range(3)]
    stale = commit(lost, [success(0)], owner_epoch=7)
    answers = await outcomes.record(
        [commit(two, [success(0), failed(1)]), stale, commit(one, [success(2)])], at(1), recheck=False
    )
    assert [batch and batch.batch_id for batch in answers] == [two.batch_id, None, one.batch_id]
    assert [await recorded(outcomes, batch) for batch in (one, lost, two)] == [[(1, 2)], [], [(1, 0), (2, 1)]]
    assert [await audited(database, batch) for batch in (one, lost, two)] == [[], [], []]


async def test_a_second_outcome_of_an_item_is_refused_whole(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch, other = await made(batches, 3), await made(batches, 3)
    kept = await record(outcomes, batch, success(0))
    with pytest.raises(IntegrityError):
        await outcomes.record(
            [commit(other, [success(0)]), commit(batch, [failed(1), failed(0)])], at(2), recheck=False
        )
    assert await batches.get(TENANT, batch.batch_id) == kept
    assert await recorded(outcomes, batch) == [(1, 0)]
    assert await recorded(outcomes, other) == []
    assert [await audited(database, one) for one in (batch, other)] == [[], []]


async def test_what_was_committed_although_its_answer_was_lost_is_passed_over(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch, other = await made(batches, 4), await made(batches, 4)
    commits = [commit(batch, [success(0), failed(1)]), commit(other, [success(3)])]
    first = await outcomes.record(commits, at(1), recheck=False)
    assert list(await outcomes.record(commits, at(2), recheck=True)) == list(first)
    more = replace(commits[0], outcomes=(*commits[0].outcomes, success(2)))
    (grown,) = await outcomes.record([more], at(3), recheck=True)
    assert grown is not None
    assert await recorded(outcomes, batch) == [(1, 0), (2, 1), (3, 2)]
    assert (grown.successful_items, grown.failed_items) == (2, 1)
    assert [await audited(database, one) for one in (batch, other)] == [[], []]


async def test_an_end_whose_answer_was_lost_is_answered_again(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 1)
    ended = await record(outcomes, batch, success(0), seconds=1)
    assert list(await outcomes.record([commit(batch, [success(0)])], at(2), recheck=True)) == [ended]


async def test_what_was_not_committed_is_written_at_the_second_try(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 2)
    (started,) = await outcomes.record([commit(batch, [], started_at=at(1))], at(1), recheck=True)
    assert started is not None
    assert started.started_at == at(1)
    (written,) = await outcomes.record([commit(batch, [success(1)])], at(2), recheck=True)
    assert written is not None
    assert written.successful_items == 1
    assert await recorded(outcomes, batch) == [(1, 1)]
    (stale,) = await outcomes.record([commit(batch, [success(0)], owner_epoch=9)], at(3), recheck=True)
    assert stale is None
    assert await audited(database, batch) == []


async def test_no_words_of_an_error_keep_its_outcome_from_being_recorded(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 1)
    await record(outcomes, batch, failed(0, message="bad\x00 name \ud83d, \N{SNOWMAN} 100 %s"))
    (result,) = await outcomes.after(TENANT, batch.batch_id, 0, 10)
    assert result.outcome is not None
    assert result.outcome.error_message == "bad\N{REPLACEMENT CHARACTER} name ?, \N{SNOWMAN} 100 %s"


async def test_an_outcome_reads_back_as_it_was_recorded(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, objects: SqlObjectRows
) -> None:
    batch = await made(batches, 3)
    given = structs.replace(success(0, bytes(range(256)), "one/thumbnail"), processing_time_ms=2**40)
    repeats = structs.replace(skipped(2, ItemErrorCode.DUPLICATE), duplicate_of_index=1)
    await record(outcomes, batch, given, repeats, seconds=7)
    done, duplicate = await outcomes.after(TENANT, batch.batch_id, 0, 10)
    assert await objects.get(TENANT, "one/thumbnail") == stored("one/thumbnail")
    assert (done.outcome, done.status) == (given, BatchItemStatus.SUCCESS)
    assert (done.sequence, done.completed_at, done.batch_id) == (1, at(7), batch.batch_id)
    assert (duplicate.outcome, duplicate.status, duplicate.sequence) == (repeats, BatchItemStatus.SKIPPED, 2)
    assert [done.item, duplicate.item] == list(await batches.items(TENANT, batch.batch_id, [0, 2]))


async def test_sequences_are_dense_in_commit_order_whoever_records(
    database: Database, open_database: Callable[[], Database], batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    """Two servers record outcomes of one batch; a reader never sees one without all that come before it."""
    batch, others = await made(batches, 120), [await made(batches, 60) for _ in range(2)]
    servers = [SqlOutcomeStore(open_database(), max_read_bytes=10_000_000) for _ in range(2)]
    seen: list[int] = []

    async def record_half(server: int) -> None:
        for index in range(server, 120, 2):
            own = commit(others[server], [success(index // 2)])
            commits = [own, commit(batch, [success(index)])]
            assert None not in await servers[server].record(commits, at(index), recheck=False)

    async def read_along() -> None:
        while len(seen) < 120:
            found = await outcomes.after(TENANT, batch.batch_id, len(seen), 500)
            seen.extend(result.sequence or 0 for result in found)

    await asyncio.gather(record_half(0), record_half(1), read_along())
    assert seen == list(range(1, 121))
    assert [await audited(database, one) for one in (batch, *others)] == [[], [], []]


async def test_a_page_is_of_one_moment(
    database: Database, open_database: Callable[[], Database], batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    """While another server records, a page's items agree with its batch's counters."""
    batch = await made(batches, 80)
    writer = SqlOutcomeStore(open_database(), max_read_bytes=1)

    async def record_all() -> None:
        for index in range(80):
            await record(writer, batch, failed(index) if index % 2 else success(index))

    async def read_pages() -> None:
        while True:
            now, total, results = await outcomes.page(TENANT, batch.batch_id, ItemFilter(), 0, 100)
            assert total == 80
            done = [result for result in results if result.sequence is not None]
            assert len(done) == now.processed_items == now.last_sequence
            match = ItemFilter(include_failed=False)
            now, total, results = await outcomes.page(TENANT, batch.batch_id, match, 0, 100)
            assert total == len(results) == 80 - now.failed_items
            if now.status is not BatchStatus.PROCESSING:
                return

    await record(outcomes, batch)
    await asyncio.gather(record_all(), read_pages())
    assert await audited(database, batch) == []


async def test_reading_outcomes_of_an_unknown_batch_fails(outcomes: SqlOutcomeStore) -> None:
    unknown = new_batch()
    with pytest.raises(BatchNotFound):
        await outcomes.after(TENANT, unknown.batch_id, 0, 10)
    with pytest.raises(BatchNotFound):
        await outcomes.page(TENANT, unknown.batch_id, ItemFilter(), 0, 10)


async def test_the_audit_tells_what_is_wrong(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    """A checker that can't find a mistake proves nothing."""
    batch = await made(batches, 3)
    await record(outcomes, batch, success(0), failed(1))

    def spoil(connection: Connection, statement: str) -> None:
        connection.exec_driver_sql(statement)

    for statement, word in [
        ("UPDATE batches SET failed_items = failed_items + 1", "failed_items is 2, but the outcomes give 1"),
        ("UPDATE batches SET last_sequence = 1, failed_items = 1", "last_sequence is 1"),
        ("UPDATE batches SET status = 'completed', last_sequence = 2", "status is completed"),
        ("UPDATE batches SET status = 'processing', timeout = 1", "timeout is 1"),
        ("UPDATE outcomes SET item_index = 7 WHERE item_index = 1", "belong to no item"),
        ("DELETE FROM items WHERE item_index = 1", "there are 2 items"),
    ]:
        await database.write(partial(spoil, statement=statement))
        assert any(word in difference for difference in await audited(database, batch)), statement
