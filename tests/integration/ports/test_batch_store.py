"""The port `BatchStore`: submitting, reading, listing, cancelling, taking over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import pytest
from msgspec import structs
from sqlalchemy.exc import IntegrityError
from tests.integration.ports.values import (
    NOON,
    TENANT,
    all_successful,
    at,
    created,
    failed,
    item,
    items,
    made,
    new_batch,
    options,
    record,
    stored,
    success,
)
from tests.unit.batches.samples import allowing

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.batches.errors import BatchNotFound, Limit, LimitExceeded, ObjectNotFound, RequestIdReused
from imagebatch_server.batches.model import Batch, BatchFilter
from imagebatch_server.store import items as items_module
from imagebatch_server.store import listing
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.object_rows import SqlObjectRows
from imagebatch_server.store.outcomes import SqlOutcomeStore

ODD_LABELS = {"it's": 'a "quoted" value', "k%s": "100 % ? :name $1", "ключ": "\N{SNOWMAN} \\ /", "empty": ""}


async def test_a_batch_reads_back_as_it_was_submitted(batches: SqlBatchStore) -> None:
    new = new_batch(options(labels=ODD_LABELS, request_id="r'1", skip_duplicates=True))
    batch = await created(batches, new, items(5))
    assert await batches.get(TENANT, new.batch_id) == batch
    assert batch.options == new.options
    assert (batch.status, batch.total_items, batch.owner_epoch) == (BatchStatus.PENDING, 5, 1)
    assert (batch.processed_items, batch.last_sequence, batch.failure_counts) == (0, 0, {})
    assert (batch.started_at, batch.completed_at, batch.cancel_requested_at) == (None, None, None)


async def test_times_are_aware_and_in_utc(batches: SqlBatchStore) -> None:
    batch = await made(batches, 1)
    assert batch.created_at == NOON
    assert batch.created_at.tzinfo is UTC


async def test_items_read_back_as_they_were_submitted(batches: SqlBatchStore) -> None:
    given = [
        item(0, item_id="mine/0", metadata=b"\x00\xff"),
        item(1, object_key="one/upload"),
        structs.replace(item(2, object_key="one/inline"), size_bytes=2**33, sha256="a" * 64, declared_type="image/png"),
        structs.replace(item(3, duplicate_of_index=0), content_key=b"\x00\xff" * 16),
    ]
    batch = await created(batches, new_batch(), given, [stored("one/inline")])
    assert list(await batches.items(TENANT, batch.batch_id, range(4))) == given


async def test_items_take_over_the_type_that_their_upload_was_declared_to_have(
    batches: SqlBatchStore, objects: SqlObjectRows
) -> None:
    await objects.add(stored("one.typed", content_type="image/webp"))
    await objects.add(stored("one.untyped", content_type=""))
    await objects.add(stored("two.typed", tenant="two", content_type="image/webp"))
    keys = ["one.typed", "one.untyped", "two.typed", "one.missing", "one.typed"]
    given = [item(index, object_key=key) for index, key in enumerate(keys)]
    expected = ["image/webp", None, None, None, "image/webp"]
    batch, answered = await batches.create(new_batch(), given, [])
    assert [one.declared_type for one in answered] == expected
    assert list(await batches.items(TENANT, batch.batch_id, range(5))) == list(answered)
    staged = new_batch()
    await batches.stage(staged)
    await batches.stage_items(staged, given, [])
    await batches.publish(staged, 5)
    found = await batches.items(TENANT, staged.batch_id, range(5))
    assert [one.declared_type for one in found] == expected


async def test_any_number_of_items_is_stored(batches: SqlBatchStore) -> None:
    batch = await created(batches, new_batch(), items(1_365))  # 1,024 and 256 and 64 and 16 and 4 and 1
    assert list(await batches.items(TENANT, batch.batch_id, range(1_365))) == items(1_365)


async def test_items_are_answered_in_index_order_and_without_those_that_do_not_exist(batches: SqlBatchStore) -> None:
    batch = await made(batches, 6)
    found = await batches.items(TENANT, batch.batch_id, [4, 99, 0, 3])
    assert [one.item_index for one in found] == [0, 3, 4]
    assert list(await batches.items(TENANT, batch.batch_id, [])) == []


async def test_a_batch_is_unknown_to_another_tenant(batches: SqlBatchStore) -> None:
    batch = await made(batches, 1)
    with pytest.raises(BatchNotFound, match=batch.batch_id):
        await batches.get("two", batch.batch_id)


async def test_the_objects_of_a_submission_are_stored_with_it(batches: SqlBatchStore, objects: SqlObjectRows) -> None:
    image = stored("one/inline")
    await created(batches, new_batch(), [item(0, object_key="one/inline")], [image])
    assert await objects.get(TENANT, "one/inline") == image


async def test_a_submission_that_fails_leaves_nothing(batches: SqlBatchStore, objects: SqlObjectRows) -> None:
    new = new_batch(options(labels={"a": "b"}, request_id="again"))
    twice = [item(0, item_id="same"), item(1, item_id="same")]
    with pytest.raises(IntegrityError):
        await created(batches, new, twice, [stored("one/inline")])
    with pytest.raises(BatchNotFound):
        await batches.get(TENANT, new.batch_id)
    with pytest.raises(ObjectNotFound):
        await objects.get(TENANT, "one/inline")
    assert list(await batches.list(TENANT, BatchFilter(labels={"a": "b"}), 10, None)) == []
    assert (await created(batches, new, items(1))).total_items == 1


async def test_a_request_id_answers_the_batch_that_it_made(batches: SqlBatchStore, objects: SqlObjectRows) -> None:
    first = await created(batches, new_batch(options(request_id="r")), items(2))
    again = new_batch(options(request_id="r"))
    assert await batches.create(again, items(2), [stored("one/second")]) == (first, ())
    assert await batches.find_request(again) == first
    with pytest.raises(BatchNotFound):
        await batches.get(TENANT, again.batch_id)
    with pytest.raises(ObjectNotFound):
        await objects.get(TENANT, "one/second")


async def test_a_request_id_with_other_content_is_refused(batches: SqlBatchStore) -> None:
    first = await created(batches, new_batch(options(request_id="r")), items(2))
    other = new_batch(options(request_id="r"), content="b")
    with pytest.raises(RequestIdReused, match=first.batch_id):
        await created(batches, other, items(3))
    with pytest.raises(RequestIdReused, match=first.batch_id):
        await batches.find_request(other)


async def test_request_ids_of_tenants_are_apart(batches: SqlBatchStore) -> None:
    await created(batches, new_batch(options(request_id="r")), items(1))
    other = new_batch(options(request_id="r"), tenant="two", content="b")
    assert await batches.find_request(other) is None
    assert (await created(batches, other, items(1))).batch_id == other.batch_id


async def test_no_more_batches_run_than_allowed(database: Database, outcomes: SqlOutcomeStore) -> None:
    batches = SqlBatchStore(database, owner="one", quotas=allowing(2))
    first = await created(batches, new_batch(options(request_id="r")), items(1))
    await made(batches, 1)
    with pytest.raises(LimitExceeded) as refused:
        await made(batches, 1)
    assert refused.value.limit == Limit("max_running_batches", 2, 2, "IMAGEBATCH_MAX_RUNNING_BATCHES")
    assert refused.value.retry_after_s == 5.0
    assert await created(batches, new_batch(options(request_id="r")), items(1)) == first
    await created(batches, new_batch(tenant="two"), items(1))
    await record(outcomes, first, success(0))
    await made(batches, 1)


async def test_batches_are_listed_newest_first_page_by_page(batches: SqlBatchStore) -> None:
    made_ids = [(await made(batches, 1)).batch_id for _ in range(5)]
    await created(batches, new_batch(tenant="two"), items(1))
    first = await batches.list(TENANT, BatchFilter(), 2, None)
    assert [batch.batch_id for batch in first] == [made_ids[4], made_ids[3]]
    second = await batches.list(TENANT, BatchFilter(), 3, first[-1].batch_id)
    assert [batch.batch_id for batch in second] == [made_ids[2], made_ids[1], made_ids[0]]
    assert list(await batches.list(TENANT, BatchFilter(), 3, made_ids[0])) == []


async def test_a_listing_is_filtered_by_status_operation_and_time(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    done = await created(batches, new_batch(options(operation="verify"), created_at=at(10)), items(1))
    done = await record(outcomes, done, success(0), seconds=11)
    pending = await created(batches, new_batch(created_at=at(20)), items(1))

    async def listed(match: BatchFilter) -> list[Batch]:
        return list(await batches.list(TENANT, match, 10, None))

    assert await listed(BatchFilter(statuses=[BatchStatus.COMPLETED])) == [done]
    assert await listed(BatchFilter(statuses=[BatchStatus.PENDING, BatchStatus.COMPLETED])) == [pending, done]
    assert await listed(BatchFilter(operation="verify")) == [done]
    assert await listed(BatchFilter(operation="verify", statuses=[BatchStatus.PENDING])) == []
    assert await listed(BatchFilter(created_after=at(20))) == [pending]
    assert await listed(BatchFilter(created_before=at(20))) == [done]
    assert await listed(BatchFilter(created_after=at(10), created_before=at(20.5))) == [pending, done]


async def test_a_listing_is_filtered_by_odd_labels(batches: SqlBatchStore) -> None:
    odd = await made(batches, 1, options(labels=ODD_LABELS))
    await made(batches, 1, options(labels={"it's": "another"}))
    for key, value in ODD_LABELS.items():
        assert list(await batches.list(TENANT, BatchFilter(labels={key: value}), 10, None)) == [odd]
        assert list(await batches.list(TENANT, BatchFilter(labels={key: value + "'"}), 10, None)) == []
        assert list(await batches.list("two", BatchFilter(labels={key: value}), 10, None)) == []
    assert list(await batches.list(TENANT, BatchFilter(labels=ODD_LABELS), 10, None)) == [odd]


@pytest.mark.parametrize("looked_at", [1, 2, 500])
async def test_a_listing_by_labels_goes_on_until_its_page_is_full(
    batches: SqlBatchStore, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(listing, "LABELLED_A_READ", looked_at)
    for number in range(12):
        await made(batches, 1, options(labels={"all": "yes", "number": str(number % 3)}))
    match = BatchFilter(labels={"all": "yes", "number": "1"})
    everything = [batch.batch_id for batch in await batches.list(TENANT, match, 100, None)]
    assert len(everything) == 4
    paged: list[str] = []
    while page := await batches.list(TENANT, match, 3, paged[-1] if paged else None):
        paged += [batch.batch_id for batch in page]
    assert paged == everything == sorted(everything, reverse=True)


async def test_cancel_is_idempotent(batches: SqlBatchStore) -> None:
    batch = await made(batches, 1)
    cancelled = await batches.request_cancel(TENANT, batch.batch_id, at(5))
    assert cancelled == replace(batch, cancel_requested_at=at(5))
    assert await batches.request_cancel(TENANT, batch.batch_id, at(6)) == cancelled


async def test_cancel_leaves_a_terminal_batch_alone(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    ended = await record(outcomes, await made(batches, 1), success(0))
    assert await batches.request_cancel(TENANT, ended.batch_id, at(5)) == ended
    assert await batches.get(TENANT, ended.batch_id) == ended


async def test_an_unknown_batch_can_not_be_cancelled(batches: SqlBatchStore) -> None:
    with pytest.raises(BatchNotFound):
        await batches.request_cancel(TENANT, new_batch().batch_id, at(5))


async def test_taking_over_raises_the_epoch_of_every_running_batch_of_others(
    batches: SqlBatchStore, others: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    pending = await made(batches, 2)
    processing = await record(outcomes, await made(batches, 2), failed(1))
    ended = await record(outcomes, await made(batches, 1), success(0))
    other = await created(batches, new_batch(tenant="two"), items(1))
    taken = await others.take_over(["describe"])
    assert list(taken) == [replace(batch, owner="two", owner_epoch=2) for batch in (pending, processing, other)]
    assert await batches.get(TENANT, ended.batch_id) == ended
    assert list(await others.take_over(["describe"])) == [], "they are its own by now"
    assert [batch.owner_epoch for batch in await batches.take_over(["describe"])] == [3, 3, 3]


async def test_a_batch_of_an_operation_that_a_server_lacks_is_taken_over_only_to_be_skipped(
    batches: SqlBatchStore, others: SqlBatchStore
) -> None:
    waits, cancelled = await made(batches, 2), await made(batches, 2)
    assert list(await others.take_over([])) == []
    assert await batches.get(TENANT, waits.batch_id) == waits
    await batches.request_cancel(TENANT, cancelled.batch_id, at(1))
    assert [batch.batch_id for batch in await others.take_over(["verify"])] == [cancelled.batch_id]
    assert [batch.batch_id for batch in await others.take_over(["verify", "describe"])] == [waits.batch_id]


async def test_running_batches_are_read_whoever_owns_them(
    batches: SqlBatchStore, others: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    first = await made(batches, 2)
    await record(outcomes, await made(batches, 1), success(0))
    second = await created(batches, new_batch(tenant="two"), items(1))
    third = await made(others, 1)
    assert list(await batches.running()) == [first, second, third]
    assert [batch.owner for batch in (first, second, third)] == ["one", "one", "two"]


@pytest.mark.parametrize("looked_through", [1, 3, 10_000])
async def test_pending_items_are_those_between_the_outcomes(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, monkeypatch: pytest.MonkeyPatch, looked_through: int
) -> None:
    monkeypatch.setattr(items_module, "INDEXES_A_READ", looked_through)
    batch = await made(batches, 12)
    await record(outcomes, batch, *(success(index) for index in (0, 3, 4, 5, 6, 9, 11)))
    pending = [1, 2, 7, 8, 10]
    for after_index in range(-1, 12):
        for limit in (1, 2, 100):
            found = await batches.pending_items(TENANT, batch.batch_id, after_index, limit)
            assert [one.item_index for one in found] == [index for index in pending if index > after_index][:limit]
    assert await batches.pending_items(TENANT, batch.batch_id, -1, 1) == items(2)[1:]


async def test_a_finished_or_unknown_batch_has_no_pending_items(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 3)
    await record(outcomes, batch, *all_successful(batch))
    assert list(await batches.pending_items(TENANT, batch.batch_id, -1, 10)) == []
    assert list(await batches.pending_items(TENANT, new_batch().batch_id, -1, 10)) == []
