"""Values of the core with everything but what a test is about filled in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.batches.model import Batch, BatchOptions, Item
from imagebatch_server.batches.quotas import Quotas, QuotasOf
from imagebatch_server.batches.running import Charge, RunningBatch
from imagebatch_server.batches.share import Share


class Place:
    """Where a server stands among others, on a clock that a test turns."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank = rank
        self.count = count
        self.now_s = 0.0

    def time_s(self) -> float:
        return self.now_s


ALL = Share(Place())
"""The share of the only server."""

CREATED_AT = datetime(2026, 1, 1, tzinfo=UTC)
CHARGE = Charge(estimated_ms=1.0, turn_ms=0.0)


def allowing(running: int) -> QuotasOf:
    """Let every tenant have so many running batches, and as much as it likes of everything else."""
    return lambda _tenant: Quotas(max_running_batches=running)


def options(**changes: Any) -> BatchOptions:
    """Options with the contract's defaults."""
    values: dict[str, Any] = {
        "operation": "noop",
        "parameters": None,
        "labels": {},
        "priority": 5,
        "item_timeout_s": 60.0,
        "max_attempts": 3,
        **changes,
    }
    return BatchOptions(**values)


def batch(**changes: Any) -> Batch:
    """Make a batch that was just submitted."""
    values: dict[str, Any] = {
        "tenant": "default",
        "batch_id": "0195d2f0-0000-7000-8000-000000000001",
        "options": options(),
        "status": BatchStatus.PENDING,
        "total_items": 1,
        "successful_items": 0,
        "failed_items": 0,
        "skipped_items": 0,
        "failure_counts": {},
        "processing_time_ms": 0,
        "timed_items": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "last_sequence": 0,
        "owner": "one",
        "owner_epoch": 1,
        "created_at": CREATED_AT,
        "started_at": None,
        "completed_at": None,
        "cancel_requested_at": None,
        "outcomes_per_s": None,
        "rated_at": None,
        **changes,
    }
    return Batch(**values)


def item(item_index: int = 0, **changes: Any) -> Item:
    """Make an item that names a stored object."""
    values: dict[str, Any] = {
        "item_index": item_index,
        "item_id": None,
        "image_url": None,
        "object_key": "default.0123",
        "size_bytes": None,
        "sha256": None,
        "declared_type": None,
        "metadata": None,
        **changes,
    }
    if values["image_url"] is not None:
        values["object_key"] = None
    return Item(**values)


def running_batch(
    name: str = "b",
    *,
    tenant: str = "default",
    items: int = 10_000,
    at_hand: int | None = None,
    url: str | None = None,
    **changes: Any,
) -> RunningBatch:
    """Make a batch being run, all of whose items are at hand, or the first few; `changes` are of its options."""
    first_items = [item(index, image_url=url) for index in range(items if at_hand is None else at_hand)]
    made = batch(tenant=tenant, batch_id=name, total_items=items, options=options(**changes))
    return RunningBatch(made, first_items)
