"""RetryBatch over the wire: which items run again, and that a repeat changes nothing."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.integration.server.calls import Raw, item, refused

from imagebatch.v1.batch_service_pb2 import ListBatchesRequest, RetryBatchRequest
from imagebatch.v1.types_pb2 import (
    BATCH_STATUS_FAILED,
    BATCH_STATUS_PROCESSING,
    ITEM_ERROR_CODE_OBJECT_NOT_FOUND,
    ITEM_ERROR_CODE_TIMEOUT,
    BatchStatusResult,
)


def failed_batch(raw: Raw) -> str:
    """Three items that fail whenever they run; the last has no id of its own."""
    items = [item(object_key="gone", item_id="a"), item(object_key="gone", item_id="b"), item(object_key="gone")]
    batch_id = raw.submit(items).batch_id
    assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_FAILED
    return batch_id


def retry(raw: Raw, batch_id: str, **request: Any) -> BatchStatusResult:
    return raw.batches.RetryBatch(RetryBatchRequest(batch_id=batch_id, **request))


def reopened(raw: Raw, batch_id: str, after_sequence: int) -> list[int]:
    """Find the items that ended again after what was seen."""
    return sorted(result.item_index for result in raw.watch_to_end(batch_id, after_sequence).results)


def test_a_repeat_whose_answer_was_lost_reopens_nothing(raw: Raw) -> None:
    batch_id = failed_batch(raw)
    assert retry(raw, batch_id, request_id="r").status == BATCH_STATUS_PROCESSING
    assert reopened(raw, batch_id, 3) == [0, 1, 2]
    assert retry(raw, batch_id, request_id="r").status == BATCH_STATUS_FAILED
    assert reopened(raw, batch_id, 6) == []
    assert retry(raw, batch_id, request_id="another").status == BATCH_STATUS_PROCESSING
    assert reopened(raw, batch_id, 6) == [0, 1, 2]
    retry(raw, batch_id)
    assert reopened(raw, batch_id, 9) == [0, 1, 2], "without an id every call counts"


def test_only_the_named_items_run_again(raw: Raw) -> None:
    batch_id = failed_batch(raw)
    retry(raw, batch_id, item_ids=["b", f"{batch_id}-2", f"{batch_id}-0", "nobody"])  # item 0 has an id of its own
    assert reopened(raw, batch_id, 3) == [1, 2]
    retry(raw, batch_id, item_ids=["a"], error_codes=[ITEM_ERROR_CODE_TIMEOUT])
    assert reopened(raw, batch_id, 5) == []
    retry(raw, batch_id, item_ids=["a"], error_codes=[ITEM_ERROR_CODE_OBJECT_NOT_FOUND])
    assert reopened(raw, batch_id, 5) == [0]


def test_an_id_that_chose_other_items_is_refused(raw: Raw) -> None:
    batch_id = failed_batch(raw)
    retry(raw, batch_id, request_id="r", item_ids=["a", "b"])
    assert reopened(raw, batch_id, 3) == [0, 1]
    retry(raw, batch_id, request_id="r", item_ids=["b", "a", "b"])  # the same items
    assert reopened(raw, batch_id, 5) == []
    refusal = refused(lambda: retry(raw, batch_id, request_id="r"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert refusal.metadata == {"request_id": "r", "batch_id": batch_id}


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"item_ids": ["x"] * 1_001}, "item_ids"),
        ({"item_ids": ["a", ""]}, "item_ids[1]"),
        ({"item_ids": ["x" * 129]}, "item_ids[0]"),
        ({"request_id": ""}, "request_id"),
        ({"request_id": "x" * 129}, "request_id"),
    ],
)
def test_a_bad_choice_is_named(raw: Raw, request_fields: dict[str, Any], field: str) -> None:
    refusal = refused(lambda: retry(raw, "0195d2f0-0000-7000-8000-000000000001", **request_fields))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refusal.violations) == [field]


def test_a_status_tells_how_the_batch_was_to_be_run(raw: Raw) -> None:
    options: dict[str, Any] = {
        "canary": 2, "failure_limit": 0.25, "item_timeout": Duration(seconds=1, nanos=250_000_000), "max_attempts": 4,
        "request_id": "status options",
    }  # fmt: skip
    batch_id = raw.submit([item(object_key="gone")] * 3, labels={"test": "options"}, **options).batch_id
    (listed,) = raw.batches.ListBatches(ListBatchesRequest(labels={"test": "options"})).batches
    for status in (raw.status(batch_id), raw.watch_to_end(batch_id).statuses[-1], listed):
        assert {name: getattr(status, name) for name in options} == options
    bare = raw.status(raw.submit([item(object_key="gone")]).batch_id)
    assert (bare.item_timeout, bare.max_attempts) == (Duration(seconds=60), 3)
    assert not any(bare.HasField(name) for name in ("canary", "failure_limit", "request_id"))
