"""Deleting a tenant: hidden at once, removed step by step, and nobody else's business."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pytest
from sqlalchemy import Connection
from tests.integration.ports.values import (
    NOON,
    TENANT,
    at,
    commit,
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

from imagebatch_server.batches.errors import BatchNotFound, ObjectNotFound, TenantDeleted
from imagebatch_server.batches.model import BatchFilter, ItemFilter
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.object_rows import SqlObjectRows
from imagebatch_server.store.outcomes import SqlOutcomeStore
from imagebatch_server.store.tables import batches as batch_table
from imagebatch_server.store.tenants import SqlTenantStore

EVER = date.min, date.max
OTHER = "other"


async def step(batches: SqlBatchStore, tenants: SqlTenantStore, limit: int = 2) -> bool:
    """Do one of the janitor's steps; answers whether there was anything to do."""
    if await tenants.hide_deleted(limit):
        return True
    if await batches.remove_hidden(limit):
        return True
    removed, gone = await tenants.remove_deleted(limit)
    return bool(removed or gone)


async def test_all_of_a_tenant_is_hidden_at_once(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, objects: SqlObjectRows, tenants: SqlTenantStore
) -> None:
    new = new_batch(options(request_id="r", labels={"a": "b"}))
    ended = await record(outcomes, await created(batches, new, items(1)), success(0))
    running = await made(batches, 2)
    await objects.add(stored("one.upload"))
    await objects.add(stored("other.upload", tenant=OTHER))
    theirs = await created(batches, new_batch(tenant=OTHER), items(1))

    assert await tenants.delete(TENANT, NOON) == [running.batch_id]
    assert await tenants.delete(TENANT, at(1)) == []

    for batch in (ended, running):
        with pytest.raises(BatchNotFound):
            await batches.get(TENANT, batch.batch_id)
        with pytest.raises(BatchNotFound):
            await outcomes.page(TENANT, batch.batch_id, ItemFilter(), 0, 10)
        with pytest.raises(BatchNotFound):
            await outcomes.after(TENANT, batch.batch_id, 0, 10)
        with pytest.raises(BatchNotFound):
            await batches.request_cancel(TENANT, batch.batch_id, NOON)
        with pytest.raises(BatchNotFound):
            await batches.hide(TENANT, batch.batch_id)
    for match in (BatchFilter(), BatchFilter(labels={"a": "b"})):
        assert list(await batches.list(TENANT, match, 10, None)) == []
    assert await batches.find_request(new) is None
    with pytest.raises(ObjectNotFound):
        await objects.get(TENANT, "one.upload")
    assert not await objects.digests(TENANT, ["one.upload"])
    assert await tenants.usage(TENANT, *EVER) == []
    # What workers still report of it is refused.
    assert await outcomes.record([commit(running, [success(0)])], at(2), recheck=False) == [None]

    assert (await batches.get(OTHER, theirs.batch_id)).total_items == 1
    assert (await objects.get(OTHER, "other.upload")).tenant == OTHER
    assert [batch.batch_id for batch in await batches.running()] == [theirs.batch_id]


async def test_nothing_is_stored_for_a_tenant_that_is_being_removed(
    batches: SqlBatchStore, objects: SqlObjectRows, tenants: SqlTenantStore
) -> None:
    staged, staged_with_items = new_batch(), new_batch()
    for new in (staged, staged_with_items):
        await batches.stage(new)
    await batches.stage_items(staged_with_items, items(1), [])
    await objects.add(stored("one.upload"))
    await tenants.delete(TENANT, NOON)
    with pytest.raises(TenantDeleted, match="tenant one is being deleted"):
        await batches.create(new_batch(), items(1), [])
    with pytest.raises(TenantDeleted):
        await batches.stage(new_batch())
    with pytest.raises(TenantDeleted):
        await batches.stage_items(staged, items(1), [])
    with pytest.raises(TenantDeleted):
        await batches.publish(staged_with_items, 1)
    with pytest.raises(TenantDeleted):
        await objects.add(stored("one.more"))
    assert await objects.reuse(TENANT, "5" * 64, "image/jpeg", NOON) is None


async def test_it_is_removed_step_by_step_whoever_goes_on(
    database: Database,
    batches: SqlBatchStore,
    others: SqlBatchStore,
    outcomes: SqlOutcomeStore,
    objects: SqlObjectRows,
    tenants: SqlTenantStore,
) -> None:
    for number in range(3):
        key = f"one.{number}"
        await objects.add(stored(key))
        batch = await created(batches, new_batch(), [item(0, object_key=key), *items(3)[1:]])
        await record(outcomes, batch, *[success(index, stored_object_key=f"{key}.{index}") for index in range(3)])
    await made(batches, 2)
    staged = new_batch()
    await batches.stage(staged)
    await batches.stage_items(staged, items(2), [])
    theirs = await created(batches, new_batch(tenant=OTHER), items(1))
    await objects.add(stored("other.upload", tenant=OTHER))
    await tenants.delete(TENANT, NOON)

    steps = 0
    while await step(others if steps % 2 else batches, tenants):
        steps += 1
        assert await left(database) != {OTHER} or steps > 5  # many small transactions, each of which leaves less
    assert steps > 10
    assert await left(database) == {OTHER}
    assert len(await objects.removed(100)) == 12
    assert (await batches.get(OTHER, theirs.batch_id)).total_items == 1

    # Its name is free again, and what it stores counts from nothing.
    await objects.add(stored("one.again"))
    assert await objects.stored_bytes(TENANT) == stored("one.again").size_bytes
    assert len(await batches.list(TENANT, BatchFilter(), 10, None)) == 0
    await made(batches, 1)


async def left(database: Database) -> set[str]:
    """Tell whose rows there are, in any table but that of tenants."""
    names = ("batches", "items", "outcomes", "objects", "usage", "batch_labels", "retries")

    def read(connection: Connection) -> set[str]:
        found: Sequence[set[str]] = [
            set(connection.exec_driver_sql(f"SELECT DISTINCT tenant FROM {name}").scalars())  # noqa: S608 - our tables
            for name in names
        ]
        return set.union(*found)

    assert batch_table.name in names
    return await database.read(read)
