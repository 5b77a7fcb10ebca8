"""What a tenant may have is decided in the transaction that takes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest
from tests.integration.ports.values import (
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
    record,
    stored,
    success,
)

from imagebatch_server.batches.errors import LimitExceeded
from imagebatch_server.batches.model import RetryRequest, StoredObject
from imagebatch_server.batches.quotas import Quotas
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.object_rows import SqlObjectRows
from imagebatch_server.store.outcomes import SqlOutcomeStore

WAITING = Quotas(max_waiting_items=5)
STORING = Quotas(max_stored_bytes=100)


def of_one(quotas: Quotas) -> Callable[[str], Quotas]:
    """Bound the tenant of these tests, and no other."""
    return lambda tenant: quotas if tenant == TENANT else Quotas()


def sized(object_key: str, size_bytes: int, *, tenant: str = TENANT) -> StoredObject:
    return dataclasses.replace(stored(object_key, tenant=tenant), size_bytes=size_bytes)


async def refused(store: SqlBatchStore, count: int, its_objects: Sequence[StoredObject] = ()) -> LimitExceeded:
    """Tell how a batch is refused."""
    with pytest.raises(LimitExceeded) as caught:
        await store.create(new_batch(), items(count), its_objects)
    return caught.value


async def test_items_wait_until_there_is_room(database: Database, outcomes: SqlOutcomeStore) -> None:
    batches = SqlBatchStore(database, owner="one", quotas=of_one(WAITING))
    first = await made(batches, 3)
    error = await refused(batches, 3)
    assert (error.limit.name, error.limit.value, error.limit.observed) == ("max_waiting_items", 5, 6)
    assert error.limit.setting == "IMAGEBATCH_MAX_WAITING_ITEMS"
    assert error.retry_after_s is not None
    assert (await refused(batches, 6)).retry_after_s is None  # for which no waiting makes room
    await created(batches, new_batch(tenant="other"), items(9))
    await record(outcomes, first, success(0), failed(1))
    await made(batches, 3)
    await record(outcomes, first, success(2))
    with pytest.raises(LimitExceeded):
        await refused_retry(batches, first.batch_id)


async def refused_retry(batches: SqlBatchStore, batch_id: str) -> None:
    """Fill what is left, and retry."""
    await made(batches, 2)
    await batches.retry(TENANT, batch_id, RetryRequest(), at(5))


async def test_a_staged_batch_takes_room_when_it_is_published(database: Database) -> None:
    batches = SqlBatchStore(database, owner="one", quotas=of_one(WAITING))
    first, second = new_batch(), new_batch(options(request_id="r"))
    for new in (first, second):
        await batches.stage(new)
        await batches.stage_items(new, items(3), [])
    await batches.publish(first, 3)
    with pytest.raises(LimitExceeded):
        await batches.publish(second, 3)
    await batches.discard(TENANT, second.batch_id)
    await made(batches, 2)


async def test_bytes_are_counted_as_they_come_and_go(database: Database, outcomes: SqlOutcomeStore) -> None:
    batches = SqlBatchStore(database, owner="one", quotas=of_one(STORING))
    objects = SqlObjectRows(database, quotas=of_one(STORING))
    await objects.add(sized("one.upload", 60))
    await objects.add(sized("two.upload", 10**9, tenant="other"))
    with pytest.raises(LimitExceeded) as caught:
        await objects.add(sized("one.more", 41))
    assert (caught.value.limit.name, caught.value.limit.observed) == ("max_stored_bytes", 101)
    assert caught.value.retry_after_s is None
    error = await refused(batches, 1, [sized("one.inline", 41)])
    assert error.limit.name == "max_stored_bytes"
    inline = [item(0, object_key="one.inline")]
    batch, _ = await batches.create(new_batch(), inline, [sized("one.inline", 40)])
    assert await objects.stored_bytes(TENANT) == 100

    # What an operation makes of it is never refused, but counts.
    made_image = dataclasses.replace(
        commit(batch, [success(0, stored_object_key="one.result")]), objects=[sized("one.result", 7)]
    )
    await outcomes.record([made_image], at(1), recheck=False)
    assert await objects.stored_bytes(TENANT) == 107
    assert (await refused(batches, 1, [sized("one.again", 1)])).limit.observed == 108

    assert list(await objects.remove(["one.upload", "two.upload"], at(10))) == ["one.upload", "two.upload"]
    assert await objects.stored_bytes(TENANT) == 47
    assert await objects.stored_bytes("other") == 0
    await objects.add(sized("one.more", 53))


async def test_promised_uploads_count_from_the_promise_on(database: Database) -> None:
    objects = SqlObjectRows(database, quotas=of_one(STORING))
    await objects.expect(sized("one.promised", 60), at(100))
    assert await objects.stored_bytes(TENANT) == 60
    with pytest.raises(LimitExceeded) as caught:
        await objects.expect(sized("one.too-much", 41), at(100))
    assert (caught.value.limit.name, caught.value.limit.observed) == ("max_stored_bytes", 101)
    with pytest.raises(LimitExceeded):
        await objects.add(sized("one.upload", 41))
    await objects.expect(sized("two.promised", 10**9, tenant="other"), at(100))
    assert await objects.complete(sized("one.promised", 60))
    assert await objects.stored_bytes(TENANT) == 60  # no more than was promised
    await objects.expect(sized("one.never-filled", 40), at(100))
    assert list(await objects.remove(["one.never-filled"], at(200))) == ["one.never-filled"]
    assert await objects.stored_bytes(TENANT) == 60


async def test_what_a_stream_brings_is_counted_with_each_part(database: Database) -> None:
    batches = SqlBatchStore(database, owner="one", quotas=of_one(STORING))
    new = new_batch()
    await batches.stage(new)
    await batches.stage_items(new, [item(0, object_key="one.a")], [sized("one.a", 60)])
    with pytest.raises(LimitExceeded):
        await batches.stage_items(new, [item(1, object_key="one.b")], [sized("one.b", 60)])


async def test_a_repeated_submit_takes_no_room_again(database: Database) -> None:
    batches = SqlBatchStore(database, owner="one", quotas=of_one(Quotas(max_running_batches=1, max_stored_bytes=10)))
    new = new_batch(options(request_id="r"))
    first, _ = await batches.create(new, [item(0, object_key="one.a")], [sized("one.a", 10)])
    again = dataclasses.replace(new_batch(options(request_id="r")))
    found, _ = await batches.create(again, [item(0, object_key="one.b")], [sized("one.b", 10)])
    assert found.batch_id == first.batch_id
    assert await SqlObjectRows(database, quotas=of_one(STORING)).stored_bytes(TENANT) == 10
