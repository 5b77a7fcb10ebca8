"""The port `BatchStore`: pausing, resuming and updating a batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.integration.ports.values import (
    NOON,
    TENANT,
    all_successful,
    at,
    created,
    items,
    made,
    new_batch,
    options,
    record,
    success,
)

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.batches.errors import BatchNotFound, BatchTerminal
from imagebatch_server.batches.model import Batch, BatchChange, BatchFilter
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.outcomes import SqlOutcomeStore

UNKNOWN = "0195d2f0-0000-7000-8000-000000000009"


async def test_a_pause_keeps_its_time_until_it_ends(batches: SqlBatchStore) -> None:
    batch = await made(batches, 2)
    paused = await batches.pause(TENANT, batch.batch_id, at(1))
    assert (paused.paused_at, paused.status, paused.owner_epoch) == (at(1), BatchStatus.PENDING, batch.owner_epoch)
    assert await batches.pause(TENANT, batch.batch_id, at(2)) == paused
    assert await batches.get(TENANT, batch.batch_id) == paused
    assert await batches.resume(TENANT, batch.batch_id) == batch
    assert await batches.resume(TENANT, batch.batch_id) == batch
    assert (await batches.pause(TENANT, batch.batch_id, at(3))).paused_at == at(3)


async def test_a_cancellation_ends_a_pause_and_keeps_another_off(batches: SqlBatchStore) -> None:
    batch = await made(batches, 2)
    await batches.pause(TENANT, batch.batch_id, at(1))
    asked = await batches.request_cancel(TENANT, batch.batch_id, at(2))
    assert (asked.paused_at, asked.cancel_requested_at) == (None, at(2))
    assert await batches.pause(TENANT, batch.batch_id, at(3)) == asked


async def test_the_end_of_a_batch_is_the_end_of_its_pause(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await made(batches, 2)
    await batches.pause(TENANT, batch.batch_id, at(1))
    half = await record(outcomes, batch, success(0))
    assert (half.status, half.paused_at) == (BatchStatus.PROCESSING, at(1))
    ended = await record(outcomes, batch, success(1))
    assert (ended.status, ended.paused_at) == (BatchStatus.COMPLETED, None)
    assert await batches.get(TENANT, batch.batch_id) == ended


async def test_a_paused_batch_is_taken_over_paused(batches: SqlBatchStore, others: SqlBatchStore) -> None:
    batch = await made(batches, 2)
    await batches.pause(TENANT, batch.batch_id, at(1))
    (taken,) = await others.take_over(["describe"])
    assert (taken.owner, taken.paused_at) == ("two", at(1))


async def listed(batches: SqlBatchStore, **labels: str) -> list[Batch]:
    return list(await batches.list(TENANT, BatchFilter(labels=labels), 10, None))


async def test_an_update_changes_what_it_names(batches: SqlBatchStore) -> None:
    new = new_batch(replace(options(labels={"run": "1", "team": "shop"}), priority=3))
    batch = await created(batches, new, items(1))
    first = await batches.update(TENANT, batch.batch_id, BatchChange(priority=9))
    assert (first.options.priority, first.options.labels) == (9, {"run": "1", "team": "shop"})
    assert await listed(batches, run="1") == [first]
    second = await batches.update(TENANT, batch.batch_id, BatchChange(labels={"run": "2", "it's": 'a "b" %s'}))
    assert second.options.priority == 9
    assert await batches.get(TENANT, batch.batch_id) == second
    assert await listed(batches, run="2", **{"it's": 'a "b" %s'}) == [second]
    assert await listed(batches, run="1") == await listed(batches, team="shop") == []
    third = await batches.update(TENANT, batch.batch_id, BatchChange(priority=1, labels={}))
    assert (third.options.priority, third.options.labels) == (1, {})
    assert await listed(batches, run="2") == []


async def test_a_batch_that_has_ended_or_is_not_there_is_not_changed(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 1)
    ended = await record(outcomes, batch, *all_successful(batch))
    for batch_id, error in ((ended.batch_id, BatchTerminal), (UNKNOWN, BatchNotFound)):
        for change in (
            batches.pause(TENANT, batch_id, NOON),
            batches.resume(TENANT, batch_id),
            batches.update(TENANT, batch_id, BatchChange(labels={"run": "1"})),
        ):
            with pytest.raises(error, match=batch_id):
                await change
    with pytest.raises(BatchNotFound):
        await batches.pause("another", batch.batch_id, NOON)
    assert await batches.get(TENANT, batch.batch_id) == ended
    assert await listed(batches, run="1") == []
