"""The public dataclasses against the contract's messages, field by field."""

from __future__ import annotations

import dataclasses
import pickle
import typing
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2
from imagebatch_client import types

MESSAGES: dict[type, Descriptor] = {
    types.BatchImageInput: types_pb2.BatchImageInput.DESCRIPTOR,
    types.BatchSubmissionResult: types_pb2.BatchSubmissionResult.DESCRIPTOR,
    types.CompletionRange: types_pb2.CompletionRange.DESCRIPTOR,
    types.BatchWaiting: types_pb2.BatchWaiting.DESCRIPTOR,
    types.BatchNotification: types_pb2.BatchNotification.DESCRIPTOR,
    types.BatchStatusResult: types_pb2.BatchStatusResult.DESCRIPTOR,
    types.BatchItemResult: types_pb2.BatchItemResult.DESCRIPTOR,
    types.BatchResults: types_pb2.BatchResults.DESCRIPTOR,
    types.BatchResultsPagination: types_pb2.BatchResultsPagination.DESCRIPTOR,
    types.BatchResultsSummary: types_pb2.BatchResultsSummary.DESCRIPTOR,
    types.FailureCluster: batch_service_pb2.FailureCluster.DESCRIPTOR,
    types.WatchUpdate: batch_service_pb2.WatchBatchResponse.DESCRIPTOR,
    types.Operation: batch_service_pb2.Operation.DESCRIPTOR,
    types.TokenPrice: batch_service_pb2.TokenPrice.DESCRIPTOR,
    types.ServerInfo: batch_service_pb2.GetServerInfoResponse.DESCRIPTOR,
    types.ServerLimits: batch_service_pb2.ServerLimits.DESCRIPTOR,
    types.DailyUsage: batch_service_pb2.DailyUsage.DESCRIPTOR,
    types.WorkerInfo: batch_service_pb2.WorkerInfo.DESCRIPTOR,
    types.UploadedImage: image_service_pb2.UploadImageResponse.DESCRIPTOR,
    types.UploadUrl: image_service_pb2.CreateUploadUrlResponse.DESCRIPTOR,
}
# The contract says of these messages that they are always there.
ALWAYS_PRESENT = {"pagination", "summary", "limits", "workers", "expires_at", "earliest", "latest"}
# "status: str (typically "pending"; the enum on the wire)"
PLAIN_STRINGS = {(types.BatchSubmissionResult, "status")}

F = FieldDescriptor
SCALARS = {
    F.CPPTYPE_INT32: int,
    F.CPPTYPE_INT64: int,
    F.CPPTYPE_DOUBLE: float,
    F.CPPTYPE_STRING: str,
    F.CPPTYPE_BOOL: bool,
}
WELL_KNOWN: dict[str, Any] = {
    "google.protobuf.Timestamp": datetime,
    "google.protobuf.Duration": float,  # seconds, as `submit` takes it
    "google.protobuf.Struct": dict[str, Any],
}


def expected_type(cls: type, field: FieldDescriptor) -> Any:
    kind: Any
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value_type: Any = SCALARS[field.message_type.fields_by_name["value"].cpp_type]
        return dict[str, value_type]
    if field.message_type is not None:
        name = field.message_type.full_name
        kind = WELL_KNOWN.get(name) or {d.full_name: c for c, d in MESSAGES.items()}[name]
    elif field.enum_type is not None:
        kind = str if (cls, field.name) in PLAIN_STRINGS else getattr(types, field.enum_type.name)
    else:
        kind = SCALARS[field.cpp_type]
    if field.is_repeated:
        return list[kind]
    is_optional = field.has_presence and field.name not in ALWAYS_PRESENT
    return kind | None if is_optional or (cls, field.name) == (types.BatchItemResult, "error_code") else kind


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
def test_a_dataclass_has_its_messages_fields_in_order_with_their_types(cls: Any) -> None:
    hints = typing.get_type_hints(cls)
    ours = [(field.name, hints[field.name]) for field in dataclasses.fields(cls)]
    assert ours == [(field.name, expected_type(cls, field)) for field in MESSAGES[cls].fields]


def test_a_download_has_its_headers_fields_and_the_bytes() -> None:
    header = [field.name for field in image_service_pb2.DownloadImageHeader.DESCRIPTOR.fields]
    assert [field.name for field in dataclasses.fields(types.DownloadedImage)] == [*header, "content"]


@pytest.mark.parametrize("cls", [*MESSAGES, types.DownloadedImage], ids=lambda cls: cls.__name__)
def test_dataclasses_are_frozen(cls: Any) -> None:
    assert cls.__dataclass_params__.frozen


def test_the_fields_of_the_shared_vocabulary_come_before_those_with_defaults() -> None:
    def required(cls: Any) -> list[str]:
        return [f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING]

    assert required(types.BatchItemResult) == [
        *("item_id", "item_index", "status", "input_data", "output_data", "error_message", "processing_time_ms"),
        "stored_image_url",
    ]
    assert required(types.BatchStatusResult)[-1] == "avg_processing_time_ms"
    assert len(required(types.BatchStatusResult)) == 13
    assert required(types.BatchImageInput) == []


def item(output_data: dict[str, Any] | None, status: str = "success") -> types.BatchItemResult:
    return types.BatchItemResult("a", 0, types.BatchItemStatus(status), None, output_data, None, 12, None)


def test_properties_read_the_output() -> None:
    result = item({"description": "a cat", "confidence_score": 1, "is_verified": False})
    assert (result.description, result.confidence_score, result.is_verified) == ("a cat", 1.0, False)
    assert isinstance(result.confidence_score, float)


@pytest.mark.parametrize("output", [None, {}, {"description": 3, "confidence_score": True, "is_verified": "yes"}])
def test_properties_are_none_where_the_output_has_no_such_value(output: dict[str, Any] | None) -> None:
    result = item(output)
    assert (result.description, result.confidence_score, result.is_verified) == (None, None, None)


@pytest.mark.parametrize(
    ("status", "is_terminal"),
    [
        ("pending", False),
        ("processing", False),
        ("completed", True),
        ("failed", True),
        ("cancelled", True),
        ("partially_completed", True),
    ],
)
def test_is_terminal(status: str, is_terminal: bool) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    result = types.BatchStatusResult("b", types.BatchStatus(status), 1, 0, 0, 0, 0.0, 0.0, now, None, None, None, None)
    assert result.is_terminal() is is_terminal


def test_a_page_sorts_its_results() -> None:
    good, bad, skipped = item({}), item(None, "failed"), item(None, "skipped")
    page = types.BatchResults(
        "b",
        types.BatchStatus.PARTIALLY_COMPLETED,
        [good, bad, skipped],
        types.BatchResultsPagination(0, 100, 3, False),
        types.BatchResultsSummary(3, 1, 1, 1, 12),
    )
    assert page.successful_results() == [good]
    assert page.failed_results() == [bad]
    assert pickle.loads(pickle.dumps(page)) == page  # noqa: S301  # our own bytes
