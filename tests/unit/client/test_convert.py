from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.protobuf import text_format

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch_client import convert
from imagebatch_client.errors import IncompatibleServerError
from imagebatch_client.types import (
    BatchItemResult,
    BatchItemStatus,
    BatchStatus,
    BatchStatusResult,
    BatchSubmissionResult,
    ItemErrorCode,
)


def test_an_item_with_every_field() -> None:
    message = text_format.Parse(
        """
        item_id: "a/cat.jpg" item_index: 7 status: BATCH_ITEM_STATUS_FAILED
        input_data { fields { key: "image_url" value { string_value: "https://x/cat.jpg" } } }
        output_data { fields { key: "width" value { number_value: 640 } } }
        error_message: "gone" processing_time_ms: 12 stored_image_url: "file:///x"
        error_code: ITEM_ERROR_CODE_FETCH_FAILED sequence: 9 attempts: 3
        completed_at { seconds: 1700000000 nanos: 123456789 } image_sha256: "ab"
        stored_object_key: "k" duplicate_of_index: 2
        """,
        types_pb2.BatchItemResult(),
    )
    assert convert.item_result(message) == BatchItemResult(
        item_id="a/cat.jpg",
        item_index=7,
        status=BatchItemStatus.FAILED,
        input_data={"image_url": "https://x/cat.jpg"},
        output_data={"width": 640},
        error_message="gone",
        processing_time_ms=12,
        stored_image_url="file:///x",
        error_code=ItemErrorCode.FETCH_FAILED,
        sequence=9,
        attempts=3,
        completed_at=datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC),
        image_sha256="ab",
        stored_object_key="k",
        duplicate_of_index=2,
    )


def test_what_an_item_does_not_have_is_none() -> None:
    result = convert.item_result(types_pb2.BatchItemResult(item_id="a", status=types_pb2.BATCH_ITEM_STATUS_PENDING))
    assert result == BatchItemResult("a", 0, BatchItemStatus.PENDING, None, None, None, None, None)


def test_zeros_that_are_present_are_zeros() -> None:
    message = types_pb2.BatchItemResult(
        status=types_pb2.BATCH_ITEM_STATUS_SKIPPED, processing_time_ms=0, duplicate_of_index=0, error_message=""
    )
    result = convert.item_result(message)
    assert (result.processing_time_ms, result.duplicate_of_index, result.error_message) == (0, 0, "")


def test_a_status_with_every_field() -> None:
    message = text_format.Parse(
        """
        batch_id: "b" status: BATCH_STATUS_PARTIALLY_COMPLETED total_items: 10 processed_items: 10 successful_items: 6
        failed_items: 3 success_rate: 0.6 progress_percentage: 100 created_at { seconds: 1 } started_at { seconds: 2 }
        completed_at { seconds: 3 } estimated_completion_time { seconds: 4 } avg_processing_time_ms: 0 skipped_items: 1
        operation: "describe" parameters { } labels { key: "team" value: "maps" } priority: 9
        cancel_requested_at { seconds: 5 } failure_counts { key: "timeout" value: 3 } input_tokens: 11 output_tokens: 12
        canary: 7 failure_limit: 0.5 item_timeout { seconds: 2 nanos: 500000000 } max_attempts: 4 request_id: "r"
        """,
        types_pb2.BatchStatusResult(),
    )
    assert convert.status_result(message) == BatchStatusResult(
        batch_id="b",
        status=BatchStatus.PARTIALLY_COMPLETED,
        total_items=10,
        processed_items=10,
        successful_items=6,
        failed_items=3,
        success_rate=0.6,
        progress_percentage=100.0,
        created_at=datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
        started_at=datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC),
        completed_at=datetime(1970, 1, 1, 0, 0, 3, tzinfo=UTC),
        estimated_completion_time=datetime(1970, 1, 1, 0, 0, 4, tzinfo=UTC),
        avg_processing_time_ms=0,
        skipped_items=1,
        operation="describe",
        parameters={},
        labels={"team": "maps"},
        priority=9,
        cancel_requested_at=datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC),
        failure_counts={"timeout": 3},
        input_tokens=11,
        output_tokens=12,
        canary=7,
        failure_limit=0.5,
        item_timeout=2.5,
        max_attempts=4,
        request_id="r",
    )


def test_a_submission_answers_a_plain_string() -> None:
    message = types_pb2.BatchSubmissionResult(batch_id="b", status=types_pb2.BATCH_STATUS_PENDING, total_items=3)
    result = convert.submission_result(message)
    assert result == BatchSubmissionResult("b", "pending", 3, None)
    assert type(result.status) is str


def test_a_watch_message_without_a_status() -> None:
    message = batch_service_pb2.WatchBatchResponse(sequence=4)
    update = convert.watch_update(message)
    assert (update.results, update.status, update.sequence) == ([], None, 4)


@pytest.mark.parametrize(
    ("message", "field", "number"),
    [
        (types_pb2.BatchItemResult(status=99), "status", 99),  # type: ignore[arg-type]
        (types_pb2.BatchItemResult(), "status", 0),
        (types_pb2.BatchItemResult(status=types_pb2.BATCH_ITEM_STATUS_FAILED, error_code=77), "error_code", 77),  # type: ignore[arg-type]
    ],
)
def test_a_value_of_a_newer_server_is_a_clear_error(
    message: types_pb2.BatchItemResult, field: str, number: int
) -> None:
    with pytest.raises(IncompatibleServerError, match=rf"{field}: the server answered {number}.*upgrade the client"):
        convert.item_result(message)
