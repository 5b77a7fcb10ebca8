"""Items and batches as a server answers them."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from imagebatch_client import (
    BatchItemResult,
    BatchItemStatus,
    BatchResults,
    BatchResultsPagination,
    BatchResultsSummary,
    BatchStatus,
    BatchStatusResult,
    Operation,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BATCH_ID = "01931c0e-7d2a-7cc3-98c4-dc0c0c0739b1"

SCHEMA: dict[str, Any] = {
    "$defs": {
        "Quality": {"type": "object", "properties": {"sharpness": {"type": "number"}}},
        "Tag": {"type": "object", "properties": {"name": {"type": "string"}, "confidence": {"type": "number"}}},
    },
    "type": "object",
    "properties": {
        "description": {"type": "string"},
        "width": {"type": "integer"},
        "is_verified": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        "quality": {"$ref": "#/$defs/Quality"},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}},
        "anything": {},
    },
}


def item(index: int = 0, **given: Any) -> BatchItemResult:
    absent: dict[str, Any] = {field.name: None for field in fields(BatchItemResult)}
    own = {"item_id": f"id-{index}", "item_index": index, "status": BatchItemStatus.SUCCESS, "attempts": 1}
    return BatchItemResult(**absent | own | given)


def page(items: list[BatchItemResult], offset: int, size: int) -> BatchResults:
    """Cut the page at `offset` out of all items."""
    found = items[offset : offset + size]
    return BatchResults(
        BATCH_ID,
        BatchStatus.PROCESSING,
        found,
        BatchResultsPagination(offset, size, len(items), offset + len(found) < len(items)),
        BatchResultsSummary(len(items), 0, 0, 0, 0),
    )


def batch(total_items: int) -> BatchStatusResult:
    return BatchStatusResult(
        BATCH_ID, BatchStatus.PROCESSING, total_items, 0, 0, 0, 0.0, 0.0, NOW, None, None, None, None, operation="look"
    )


LOOK = Operation("look", "1", "looks", None, SCHEMA)
