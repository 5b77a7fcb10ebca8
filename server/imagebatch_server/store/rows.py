"""Rows into the core's values, and back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from imagebatch.v1.enums import BatchItemStatus, BatchStatus, ItemErrorCode
from imagebatch_server.batches.model import Batch, BatchOptions, Item, ItemResult, Outcome, StoredObject
from imagebatch_server.batches.ports import NewBatch
from imagebatch_server.store.tables import FAILURE_CODES


def to_batch(row: Row[Any]) -> Batch:
    """A row of `batches`."""
    columns = row._mapping
    return Batch(
        tenant=row.tenant,
        batch_id=row.batch_id,
        options=BatchOptions(
            operation=row.operation,
            parameters=row.parameters,
            labels=row.labels,
            priority=row.priority,
            item_timeout_s=row.item_timeout_s,
            max_attempts=row.max_attempts,
            request_id=row.request_id,
        ),
        status=BatchStatus(row.status),
        total_items=row.total_items,
        successful_items=row.successful_items,
        failed_items=row.failed_items,
        skipped_items=row.skipped_items,
        failure_counts={code.value: columns[code.value] for code in FAILURE_CODES if columns[code.value]},
        processing_time_ms=row.processing_time_ms,
        timed_items=row.timed_items,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        last_sequence=row.last_sequence,
        owner_epoch=row.owner_epoch,
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        cancel_requested_at=row.cancel_requested_at,
        outcomes_per_s=row.outcomes_per_s,
        rated_at=row.rated_at,
    )


def from_new_batch(batch: NewBatch, total_items: int, owner: str) -> dict[str, Any]:
    """The row of a batch that was just submitted."""
    options = batch.options
    return {
        "tenant": batch.tenant,
        "batch_id": batch.batch_id,
        "request_id": options.request_id,
        "content_sha256": batch.content_sha256,
        "operation": options.operation,
        "parameters": options.parameters,
        "labels": dict(options.labels),
        "priority": options.priority,
        "item_timeout_s": options.item_timeout_s,
        "max_attempts": options.max_attempts,
        "status": BatchStatus.PENDING.value,
        "total_items": total_items,
        "owner": owner,
        "owner_epoch": 1,
        "created_at": batch.created_at,
    }


def to_item(row: Row[Any]) -> Item:
    """A row of `items`, or of a join that begins with its columns."""
    return Item(
        item_index=row.item_index,
        item_id=row.item_id,
        image_url=row.image_url,
        object_key=row.object_key,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        declared_type=row.declared_type,
        metadata=row.metadata,
    )


def from_item(tenant: str, batch_id: str, item: Item) -> dict[str, Any]:
    """The row of an item."""
    return {
        "tenant": tenant,
        "batch_id": batch_id,
        "item_index": item.item_index,
        "item_id": item.item_id,
        "image_url": item.image_url,
        "object_key": item.object_key,
        "size_bytes": item.size_bytes,
        "sha256": item.sha256,
        "declared_type": item.declared_type,
        "metadata": item.metadata,
    }


def to_item_result(batch_id: str, row: Row[Any]) -> ItemResult:
    """A row of `items` joined with `outcomes`, whose columns are None where the item has no outcome."""
    item = to_item(row)
    if row.sequence is None:
        return ItemResult(batch_id=batch_id, item=item)
    return ItemResult(
        batch_id=batch_id,
        item=item,
        status=BatchItemStatus(row.status),
        error_code=None if row.error_code is None else ItemErrorCode(row.error_code),
        error_message=row.error_message,
        output_data=row.output_data,
        processing_time_ms=row.processing_time_ms,
        attempts=row.attempts,
        image_sha256=row.image_sha256,
        stored_object_key=row.stored_object_key,
        duplicate_of_index=row.duplicate_of_index,
        sequence=row.sequence,
        completed_at=row.completed_at,
    )


def from_outcome(outcome: Outcome) -> dict[str, Any]:
    """The part of an outcome's row that the outcome itself knows."""
    return {
        "item_index": outcome.item_index,
        "status": outcome.status.value,
        "error_code": None if outcome.error_code is None else outcome.error_code.value,
        "error_message": outcome.error_message,
        "output_data": outcome.output_data,
        "processing_time_ms": outcome.processing_time_ms,
        "attempts": outcome.attempts,
        "image_sha256": outcome.image_sha256,
        "stored_object_key": None if outcome.stored_object is None else outcome.stored_object.object_key,
        "duplicate_of_index": outcome.duplicate_of_index,
    }


def to_object(row: Row[Any]) -> StoredObject:
    """A row of `objects`."""
    return StoredObject(
        tenant=row.tenant,
        object_key=row.object_key,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        content_type=row.content_type,
        file_name=row.file_name,
        created_at=row.created_at,
    )


def from_object(stored: StoredObject) -> dict[str, Any]:
    """The row of an object."""
    return {
        "tenant": stored.tenant,
        "object_key": stored.object_key,
        "sha256": stored.sha256,
        "size_bytes": stored.size_bytes,
        "content_type": stored.content_type,
        "file_name": stored.file_name,
        "created_at": stored.created_at,
    }
