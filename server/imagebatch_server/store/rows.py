"""Rows into the core's values, and back.

Items and outcomes go by position, which is several times faster than by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from operator import attrgetter
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import Row

from imagebatch.v1.enums import BatchItemStatus, BatchStatus, ItemErrorCode, WaitingReason
from imagebatch_server.batches.errors import plain_text
from imagebatch_server.batches.model import Batch, BatchOptions, Item, ItemResult, Outcome, StoredObject, Waiting
from imagebatch_server.batches.ports.batches import NewBatch
from imagebatch_server.store.keys import BatchKey
from imagebatch_server.store.tables import FAILURE_CODES, items, outcomes

ITEM_COLUMNS = [items.c[name] for name in Item.__struct_fields__]

KEPT_FIELDS = Outcome.__struct_fields__.index("image_bytes")
"""Of an outcome so many have a column; what follows is counted in other tables."""

_FIRST_FIELDS = Outcome.__struct_fields__.index("preview_object_key")
"""Those whose columns stand together; the others were added to the table later."""

RESULT_COLUMNS = [outcomes.c[name] for name in (*Outcome.__struct_fields__[:KEPT_FIELDS], "sequence", "completed_at")]
"""An outcome, and then what an `ItemResult` has besides it."""

SEQUENCE = -2
"""Where `RESULT_COLUMNS` have the sequence."""

TimeReader = Callable[[Any], datetime | None]
"""Makes a time of what a driver answers."""

# Members by value; calling an enum takes ten times as long.
_STATUSES = {status.value: status for status in BatchItemStatus}
_ERROR_CODES = {code.value: code for code in ItemErrorCode}

_item_values = attrgetter(*[column.name for column in items.columns if column.name not in ("tenant", "batch_id")])


def to_batch(row: Any) -> Batch:
    """Read a row of `batches`, whose values have the names of its columns."""
    counts = ((code.value, getattr(row, code.value)) for code in FAILURE_CODES)
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
            skip_duplicates=row.skip_duplicates,
            canary=row.canary,
            failure_limit=row.failure_limit,
            output_prefix=row.output_prefix,
            notify_url=row.notify_url,
        ),
        status=BatchStatus(row.status),
        total_items=row.total_items,
        successful_items=row.successful_items,
        failed_items=row.failed_items,
        skipped_items=row.skipped_items,
        failure_counts={name: count for name, count in counts if count},
        processing_time_ms=row.processing_time_ms,
        timed_items=row.timed_items,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        last_sequence=row.last_sequence,
        owner=row.owner,
        owner_epoch=row.owner_epoch,
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        cancel_requested_at=row.cancel_requested_at,
        outcomes_per_s=row.outcomes_per_s,
        rated_at=row.rated_at,
        judged_from_successful=row.judged_from_successful,
        judged_from_failed=row.judged_from_failed,
        paused_at=row.paused_at,
        traceparent=row.traceparent,
        rate_error=row.rate_error,
        waiting=None if row.waiting is None else to_waiting(row.waiting),
    )


def to_waiting(value: dict[str, Any]) -> Waiting:
    """Read what a batch waits for."""
    until = value["until"]
    return Waiting(
        reason=WaitingReason(value["reason"]),
        items_ahead=value["items_ahead"],
        until=None if until is None else datetime.fromisoformat(until),
        detail=value["detail"],
    )


def from_waiting(waiting: Waiting | None) -> dict[str, Any] | None:
    """Write what a batch waits for, as JSON has it."""
    if waiting is None:
        return None
    until = None if waiting.until is None else waiting.until.isoformat()
    return {**asdict(waiting), "reason": waiting.reason.value, "until": until}


def from_new_batch(batch: NewBatch, total_items: int, owner: str) -> dict[str, Any]:
    """Make the row of a batch that was just submitted."""
    options = batch.options
    return {
        "tenant": batch.tenant,
        "batch_id": batch.batch_id,
        "visible": True,
        "request_id": options.request_id,
        "content_sha256": batch.content_sha256,
        "operation": options.operation,
        "parameters": options.parameters,
        "labels": dict(options.labels),
        "priority": options.priority,
        "item_timeout_s": options.item_timeout_s,
        "max_attempts": options.max_attempts,
        "skip_duplicates": options.skip_duplicates,
        "canary": options.canary,
        "failure_limit": options.failure_limit,
        "output_prefix": options.output_prefix,
        "notify_url": options.notify_url,
        "status": BatchStatus.PENDING.value,
        "total_items": total_items,
        "owner": owner,
        "owner_epoch": 1,
        "created_at": batch.created_at,
        "traceparent": batch.traceparent,
    }


def to_item(row: Sequence[Any]) -> Item:
    """Read a row of `ITEM_COLUMNS`."""
    return Item(*row)


def from_item(key: BatchKey, item: Item) -> tuple[Any, ...]:
    """Make the row of an item."""
    return (*key, *_item_values(item))


def to_item_results(
    batch_id: str, found: Iterable[tuple[Sequence[Any], Sequence[Any] | None]], to_time: TimeReader
) -> Iterator[ItemResult]:
    """Items, each with its row of `RESULT_COLUMNS` if it has an outcome, all as the driver answers them."""
    at, completed_at = None, None
    for item, outcome in found:
        if outcome is None:
            yield ItemResult(batch_id, Item(*item))
            continue
        time = outcome[-1]
        if time != at:  # all outcomes of a commit have one
            at, completed_at = time, to_time(time)
        code = None if outcome[2] is None else _ERROR_CODES[outcome[2]]
        whole = Outcome(outcome[0], _STATUSES[outcome[1]], code, *outcome[3:SEQUENCE])
        yield ItemResult(batch_id, Item(*item), whole, outcome[SEQUENCE], completed_at)


def from_outcome(
    key: BatchKey, sequence: int, outcome: Outcome, completed_at: Any, cluster_id: str | None
) -> tuple[Any, ...]:
    """Make the row of an outcome, in the order of the table's columns; `completed_at` is a `time_value`."""
    return (
        *key,
        outcome.item_index,
        sequence,
        outcome.status.value,
        None if outcome.error_code is None else outcome.error_code.value,
        # Its words must never keep an outcome from being recorded.
        None if outcome.error_message is None else plain_text(outcome.error_message),
        *astuple(outcome)[4:_FIRST_FIELDS],
        completed_at,
        cluster_id,
        outcome.preview_object_key,
    )


def to_object(row: Row[Any]) -> StoredObject:
    """Read a row of `objects`."""
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
    """Make the row of an object."""
    return {
        "tenant": stored.tenant,
        "object_key": stored.object_key,
        "sha256": stored.sha256,
        "size_bytes": stored.size_bytes,
        "content_type": stored.content_type,
        "file_name": stored.file_name,
        "created_at": stored.created_at,
    }
