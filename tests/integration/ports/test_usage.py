"""What tenants use: counted with the outcomes, whatever becomes of the batches."""

from __future__ import annotations

from datetime import UTC, date, datetime

from msgspec import structs
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
    skipped,
    success,
)

from imagebatch_server.batches.model import DailyUsage, RetryRequest
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.outcomes import SqlOutcomeStore
from imagebatch_server.store.tenants import SqlTenantStore

DAY = date(2026, 5, 4)
EVER = date.min, date.max


async def test_outcomes_add_up_by_operation_and_day(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, tenants: SqlTenantStore
) -> None:
    first, second = await made(batches, 4), await made(batches, 1)
    third = await made(batches, 1, options(operation="thumbnail"))
    done = [structs.replace(success(0), image_bytes=2**40), failed(1), skipped(2)]
    both = [commit(first, done), commit(second, [success(0)]), commit(third, [success(0)])]
    await outcomes.record(both, at(1), recheck=False)
    await record(outcomes, first, structs.replace(success(3), image_bytes=5), seconds=86_400)
    assert await tenants.usage(TENANT, *EVER) == [
        DailyUsage(
            DAY, "describe", items=3, processing_time_ms=21, image_bytes=2**40, input_tokens=8, output_tokens=10
        ),
        DailyUsage(DAY, "thumbnail", 1, 10, 0, 3, 5),
        DailyUsage(date(2026, 5, 5), "describe", 1, 13, 5, 3, 5),
    ]


async def test_a_day_is_one_of_utc_and_the_last_is_left_out(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, tenants: SqlTenantStore
) -> None:
    batch = await made(batches, 2)
    midnight = (datetime(2026, 5, 5, tzinfo=UTC) - NOON).total_seconds()
    await record(outcomes, batch, success(0), seconds=midnight - 1e-6)
    await record(outcomes, batch, success(1), seconds=midnight)
    assert [used.day for used in await tenants.usage(TENANT, *EVER)] == [DAY, date(2026, 5, 5)]
    assert [used.day for used in await tenants.usage(TENANT, DAY, date(2026, 5, 5))] == [DAY]
    assert await tenants.usage(TENANT, date(2026, 5, 6), date.max) == []


async def test_usage_outlives_a_deletion_and_a_retry_counts_again(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, tenants: SqlTenantStore
) -> None:
    batch = await record(outcomes, await made(batches, 2), failed(0), success(1))
    reopened, _ = await batches.retry(TENANT, batch.batch_id, RetryRequest(), at(2))
    await record(outcomes, reopened, success(0), seconds=3)
    await batches.hide(TENANT, batch.batch_id)
    while await batches.remove_hidden(1_000):
        pass
    (used,) = await tenants.usage(TENANT, *EVER)
    assert used.items == 3


async def test_what_is_refused_or_tried_again_counts_once(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, tenants: SqlTenantStore
) -> None:
    batch = await made(batches, 3)
    await outcomes.record([commit(batch, [success(0)], owner_epoch=7)], at(1), recheck=False)
    assert await tenants.usage(TENANT, *EVER) == []
    first = commit(batch, [success(0), success(1)])
    await outcomes.record([first], at(1), recheck=False)
    await outcomes.record([first], at(2), recheck=True)
    await outcomes.record([commit(batch, all_successful(batch))], at(3), recheck=True)
    (used,) = await tenants.usage(TENANT, *EVER)
    assert (used.items, used.processing_time_ms) == (3, 33)


async def test_a_tenants_usage_is_its_own(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, tenants: SqlTenantStore
) -> None:
    other = await created(batches, new_batch(tenant="other"), items(1))
    await outcomes.record([commit(other, [success(0)])], at(1), recheck=False)
    assert await tenants.usage(TENANT, *EVER) == []
    assert len(await tenants.usage("other", *EVER)) == 1
