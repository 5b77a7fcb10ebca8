"""GetUsage over the wire: what ran is counted once, by day, and is there when its batch is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grpc
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item, refused

from imagebatch.v1.batch_service_pb2 import DeleteBatchRequest, GetUsageRequest


def test_usage_is_counted_by_day_and_outlives_its_batch(raw: Raw) -> None:
    today = datetime.now(UTC).date()
    data = pictures.drawn()
    key = raw.upload(data).object_key
    batch_id = raw.submit([item(object_key=key), item(object_key=key), item(object_key="gone")], "noop").batch_id
    assert raw.watch_to_end(batch_id).statuses[-1].failed_items == 1
    (used,) = raw.batches.GetUsage(GetUsageRequest()).usage
    assert used.operation == "noop"
    assert used.day in (str(today), str(today + timedelta(days=1)))
    assert (used.items, used.image_bytes) == (3, 2 * len(data))
    assert used.processing_time_ms == raw.page(batch_id).summary.processing_time_ms
    raw.batches.DeleteBatch(DeleteBatchRequest(batch_id=batch_id))
    asked = GetUsageRequest(day_from=used.day, day_before=str(today + timedelta(days=2)))
    assert list(raw.batches.GetUsage(asked).usage) == [used]
    assert not raw.batches.GetUsage(GetUsageRequest(day_before=used.day)).usage


def test_more_than_366_days_are_refused_by_name(raw: Raw) -> None:
    asked = GetUsageRequest(day_from="2024-01-01", day_before="2025-01-02")
    refusal = refused(lambda: raw.batches.GetUsage(asked))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert list(refusal.violations) == ["day_before"]
    assert not raw.batches.GetUsage(GetUsageRequest(day_from="2024-01-01", day_before="2025-01-01")).usage
