"""Batches, items and outcomes for the ports' suites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import uuid_utils

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches.failure_clusters import cluster_of
from imagebatch_server.batches.model import Batch, BatchOptions, Item, Outcome, StoredObject
from imagebatch_server.batches.ports.batches import BatchCommit, BatchStore, NewBatch, OutcomeStore

TENANT = "one"
NOON = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(seconds=seconds)


def options(
    *,
    operation: str = "describe",
    labels: Mapping[str, str] | None = None,
    request_id: str | None = None,
    skip_duplicates: bool = False,
) -> BatchOptions:
    return BatchOptions(
        operation=operation,
        parameters=b"\x00\xff parameters",
        labels=labels or {},
        priority=7,
        item_timeout_s=12.5,
        max_attempts=4,
        request_id=request_id,
        skip_duplicates=skip_duplicates,
        canary=25,
        failure_limit=0.25,
    )


def new_batch(
    chosen: BatchOptions | None = None, *, tenant: str = TENANT, content: str = "a", created_at: datetime = NOON
) -> NewBatch:
    return NewBatch(tenant, str(uuid_utils.uuid7()), chosen or options(), created_at, content * 64)


def items(count: int) -> list[Item]:
    """Items by URL, every third with an id of its own."""
    return [
        item(index, item_id=f"own-{index}" if index % 3 == 0 else None, metadata=bytes([index % 256]))
        for index in range(count)
    ]


def item(
    index: int,
    *,
    item_id: str | None = None,
    object_key: str | None = None,
    metadata: bytes | None = None,
    duplicate_of_index: int | None = None,
) -> Item:
    return Item(
        item_index=index,
        item_id=item_id,
        image_url=None if object_key else f"https://images.example.com/{index}.jpg",
        object_key=object_key,
        size_bytes=None,
        sha256=None,
        declared_type=None,
        metadata=metadata,
        duplicate_of_index=duplicate_of_index,
    )


def stored(
    object_key: str, *, tenant: str = TENANT, content_type: str = "image/jpeg", created_at: datetime = NOON
) -> StoredObject:
    return StoredObject(
        tenant=tenant,
        object_key=object_key,
        sha256="5" * 64,
        size_bytes=2**40,
        content_type=content_type,
        file_name="Brücke \N{BRIDGE AT NIGHT} 'x\".jpg",
        created_at=created_at,
    )


def success(index: int, output_data: bytes = b"{}", stored_object_key: str | None = None) -> Outcome:
    return Outcome(
        item_index=index,
        status=BatchItemStatus.SUCCESS,
        output_data=output_data,
        processing_time_ms=10 + index,
        attempts=1,
        image_sha256="7" * 64,
        stored_object_key=stored_object_key,
        input_tokens=3,
        output_tokens=5,
    )


def failed(
    index: int, code: ItemErrorCode = ItemErrorCode.FETCH_FAILED, message: str = "404; check the URL"
) -> Outcome:
    return Outcome(
        item_index=index,
        status=BatchItemStatus.FAILED,
        error_code=code,
        error_message=message,
        processing_time_ms=1,
        attempts=3,
        input_tokens=2,
    )


def skipped(index: int, code: ItemErrorCode = ItemErrorCode.CANCELLED) -> Outcome:
    return Outcome(item_index=index, status=BatchItemStatus.SKIPPED, error_code=code, error_message="skipped")


async def made(store: BatchStore, count: int, chosen: BatchOptions | None = None) -> Batch:
    """Store a batch of so many items."""
    return await created(store, new_batch(chosen), items(count))


async def created(
    store: BatchStore, new: NewBatch, its_items: Sequence[Item], its_objects: Sequence[StoredObject] = ()
) -> Batch:
    """Store a batch whole."""
    batch, _ = await store.create(new, its_items, its_objects)
    return batch


def commit(
    batch: Batch, outcomes: Iterable[Outcome], *, owner_epoch: int | None = None, started_at: datetime | None = NOON
) -> BatchCommit:
    outcomes = tuple(outcomes)
    return BatchCommit(
        tenant=batch.tenant,
        batch_id=batch.batch_id,
        owner_epoch=batch.owner_epoch if owner_epoch is None else owner_epoch,
        outcomes=outcomes,
        started_at=started_at,
        speed=None,
        objects=[
            stored(key)
            for outcome in outcomes
            for key in (outcome.stored_object_key, outcome.preview_object_key)
            if key is not None
        ],
        failures={
            outcome.item_index: cluster_of(item(outcome.item_index), outcome)
            for outcome in outcomes
            if outcome.status is BatchItemStatus.FAILED
        },
    )


async def record(store: OutcomeStore, batch: Batch, *outcomes: Outcome, seconds: float = 1) -> Batch:
    """Record outcomes of a batch that is owned."""
    (recorded,) = await store.record([commit(batch, outcomes)], at(seconds), recheck=False)
    assert recorded is not None
    return recorded


def all_successful(batch: Batch) -> Sequence[Outcome]:
    return [success(index) for index in range(batch.total_items)]
