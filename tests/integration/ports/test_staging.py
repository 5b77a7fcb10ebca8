"""The port `BatchStore`, batches whose items come in parts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from msgspec import structs
from tests.integration.ports.values import (
    NOON,
    TENANT,
    at,
    created,
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
from imagebatch_server.batches.errors import (
    BatchNotFound,
    LimitExceeded,
    ObjectNotFound,
    RequestIdReused,
    StoreUnavailable,
)
from imagebatch_server.batches.model import BatchFilter, Item, ItemFilter, RetryRequest
from imagebatch_server.batches.ports.batches import BatchCommit, NewBatch
from imagebatch_server.store.audit import audit
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.object_rows import SqlObjectRows
from imagebatch_server.store.outcomes import SqlOutcomeStore


async def staged(batches: SqlBatchStore, new: NewBatch, count: int) -> NewBatch:
    """Stage a batch of so many items, in two parts."""
    everything = items(count)
    await batches.stage(new)
    await batches.stage_items(new, everything[: count // 2], [])
    await batches.stage_items(new, everything[count // 2 :], [])
    return new


async def test_a_published_batch_is_like_one_submitted_at_once(
    database: Database, batches: SqlBatchStore, others: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    new = await staged(batches, new_batch(options(labels={"a": "b"}, request_id="r")), 7)
    published = await batches.publish(new, 7)
    assert (published.total_items, published.status, published.owner_epoch) == (7, BatchStatus.PENDING, 1)
    assert published.options == new.options
    assert await batches.get(TENANT, new.batch_id) == published
    assert list(await batches.list(TENANT, BatchFilter(labels={"a": "b"}), 10, None)) == [published]
    assert list(await batches.items(TENANT, new.batch_id, range(7))) == items(7)
    assert await batches.find_request(new) == published
    assert list(await others.take_over(["describe"])) == [replace(published, owner="two", owner_epoch=2)]
    ended = await record(outcomes, replace(published, owner_epoch=2), *(success(index) for index in range(7)))
    assert ended.status is BatchStatus.COMPLETED
    assert await database.read(partial(audit, tenant=TENANT, batch_id=new.batch_id)) == []


async def test_nothing_sees_a_staged_batch(
    batches: SqlBatchStore, others: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    new = await staged(batches, new_batch(options(labels={"a": "b"}, request_id="r")), 4)
    for read in (
        batches.get(TENANT, new.batch_id),
        batches.request_cancel(TENANT, new.batch_id, at(1)),
        batches.retry(TENANT, new.batch_id, RetryRequest(), NOON),
        batches.hide(TENANT, new.batch_id),
        outcomes.page(TENANT, new.batch_id, ItemFilter(), 0, 10),
        outcomes.after(TENANT, new.batch_id, 0, 10),
    ):
        with pytest.raises(BatchNotFound):
            await read
    assert list(await batches.list(TENANT, BatchFilter(), 10, None)) == []
    assert list(await batches.list(TENANT, BatchFilter(labels={"a": "b"}), 10, None)) == []
    assert await batches.find_request(new) is None
    assert list(await others.take_over(["describe"])) == []
    assert list(await others.running()) == []
    assert list(await batches.expire(at(10**6), 10)) == []
    assert await batches.remove_hidden(1_000) == 0
    early = BatchCommit(TENANT, new.batch_id, 1, [success(0)], None, None)
    assert list(await outcomes.record([early], at(1), recheck=False)) == [None]
    assert (await batches.publish(new, 4)).total_items == 4


async def test_a_staged_batch_does_not_run(database: Database) -> None:
    batches = SqlBatchStore(database, owner="one", quotas=allowing(1))
    first = await staged(batches, new_batch(), 2)
    second = await staged(batches, new_batch(), 2)
    await batches.publish(first, 2)
    with pytest.raises(LimitExceeded, match="1 batches are running"):
        await batches.publish(second, 2)
    with pytest.raises(BatchNotFound):
        await batches.get(TENANT, second.batch_id)


async def test_the_first_to_be_published_takes_the_request_id(batches: SqlBatchStore) -> None:
    one, two = [await staged(batches, new_batch(options(request_id="r")), 2) for _ in range(2)]
    other = await staged(batches, new_batch(options(request_id="r"), content="b"), 2)
    published = await batches.publish(two, 2)
    assert published.batch_id == two.batch_id
    assert await batches.publish(one, 2) == published
    with pytest.raises(RequestIdReused, match=two.batch_id):
        await batches.publish(other, 2)
    for loser in (one, other):
        with pytest.raises(BatchNotFound):
            await batches.get(TENANT, loser.batch_id)


async def test_publishing_again_answers_the_batch(batches: SqlBatchStore) -> None:
    new = await staged(batches, new_batch(options(request_id="r")), 2)
    published = await batches.publish(new, 2)
    assert await batches.publish(new, 2) == published


async def test_ids_that_came_before_are_known(batches: SqlBatchStore) -> None:
    new = await staged(batches, new_batch(), 7)
    other = await staged(batches, new_batch(), 1)
    asked = ["own-0", "own-1", "own-6", "it's", *(f"unknown-{number}" for number in range(2_500))]
    assert await batches.known_item_ids(TENANT, new.batch_id, asked) == {"own-0": 0, "own-6": 6}
    assert await batches.known_item_ids(TENANT, other.batch_id, asked) == {"own-0": 0}
    assert await batches.known_item_ids(TENANT, new.batch_id, []) == {}


async def test_a_discarded_batch_is_removed(batches: SqlBatchStore, objects: SqlObjectRows) -> None:
    new = new_batch(options(request_id="r"))
    await batches.stage(new)
    await batches.stage_items(new, [item(0, object_key="one/a")], [stored("one/a")])
    await batches.discard(TENANT, new.batch_id)
    for late in (batches.stage_items(new, items(3)[1:], []), batches.publish(new, 1)):
        with pytest.raises(StoreUnavailable, match="given up"):
            await late
    assert list(await objects.unreferenced(at(1), 10)) == []
    assert await batches.remove_hidden(1_000) == 2
    assert list(await objects.unreferenced(at(1), 10)) == ["one/a"]
    with pytest.raises(StoreUnavailable, match="given up"):
        await batches.stage_items(new, items(3)[1:], [])
    await batches.discard(TENANT, new.batch_id)
    assert await batches.remove_hidden(1_000) == 0


async def test_a_published_batch_is_not_discarded(batches: SqlBatchStore) -> None:
    new = await staged(batches, new_batch(), 3)
    published = await batches.publish(new, 3)
    await batches.discard(TENANT, new.batch_id)
    assert await batches.discard_staged() == 0
    assert await batches.get(TENANT, new.batch_id) == published
    with pytest.raises(StoreUnavailable, match="given up"):
        await batches.stage_items(new, items(4)[3:], [])


async def test_a_batch_that_lacks_a_part_is_not_published(batches: SqlBatchStore) -> None:
    new = await staged(batches, new_batch(), 3)
    with pytest.raises(StoreUnavailable):
        await batches.publish(new, 4)
    assert (await batches.publish(new, 3)).total_items == 3


async def test_what_earlier_servers_had_staged_is_discarded_when_one_starts(
    batches: SqlBatchStore, others: SqlBatchStore
) -> None:
    left = await staged(batches, new_batch(), 2)
    running = await made(batches, 2)
    assert await others.discard_staged() == 1
    assert await others.remove_hidden(1_000) == 3
    with pytest.raises(StoreUnavailable):
        await batches.publish(left, 2)
    assert await batches.get(TENANT, running.batch_id) == running


async def test_a_part_that_fails_leaves_nothing(batches: SqlBatchStore, objects: SqlObjectRows) -> None:
    new = await staged(batches, new_batch(), 2)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await batches.stage_items(new, [item(2), item(1)], [stored("one/a")])
    with pytest.raises(ObjectNotFound):
        await objects.get(TENANT, "one/a")
    assert (await batches.publish(new, 2)).total_items == 2


def with_key(index: int, content_key: bytes | None) -> Item:
    return structs.replace(item(index), content_key=content_key)


async def test_items_of_equal_content_are_marked_with_the_first(batches: SqlBatchStore) -> None:
    keys = [b"a", None, b"b", b"a", None, b"b", b"a", b"c"]
    given = [with_key(index, key) for index, key in enumerate(keys)]
    expected = [None, None, None, 0, None, 2, 0, None]
    at_once = await created(batches, new_batch(options(skip_duplicates=True)), given)
    found = await batches.items(TENANT, at_once.batch_id, range(8))
    assert [one.duplicate_of_index for one in found] == expected
    assert [one.content_key for one in found] == keys
    for size in (1, 2, 3):
        new = new_batch(options(skip_duplicates=True))
        await batches.stage(new)
        for start in range(0, 8, size):
            await batches.stage_items(new, given[start : start + size], [])
        await batches.publish(new, 8)
        found = await batches.items(TENANT, new.batch_id, range(8))
        assert [one.duplicate_of_index for one in found] == expected


async def test_many_contents_are_compared(batches: SqlBatchStore) -> None:
    given = [with_key(index, f"{index % 1_500}".encode()) for index in range(3_000)]
    batch = await created(batches, new_batch(options(skip_duplicates=True)), given)
    found = await batches.items(TENANT, batch.batch_id, range(3_000))
    assert [one.duplicate_of_index for one in found] == [None] * 1_500 + list(range(1_500))
