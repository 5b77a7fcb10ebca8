"""Bad requests: refused whole, every violation at once, each with its field, and nothing left behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tests.integration.server.calls import Raw, item, refused

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.types_pb2 import (
    BATCH_ITEM_STATUS_PROCESSING,
    BATCH_ITEM_STATUS_SUCCESS,
    BatchImageInput,
)

UNKNOWN_BATCH = "0195d2f0-0000-7000-8000-000000000001"
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def good() -> BatchImageInput:
    return item(image_url="https://example.com/a.jpg")


@pytest.mark.parametrize(
    ("items", "field", "says"),
    [
        ([], "items", "a batch has at least one item"),
        ([good(), item()], "items[1]", "one of image_url, image_base64, object_key"),
        ([item(image_url="https://a", object_key="k")], "items[0]", "only one of image_url, image_base64, object_key"),
        ([item(image_url="ftp://a/b")], "items[0].image_url", "UploadImage"),
        ([item(image_base64="aGVsbG8=")], "items[0].image_base64", "data:image/<type>;base64,"),
        ([item(image_base64="data:image/png;base64,aGVsb")], "items[0].image_base64", "not valid base64"),
        ([item(image_base64="data:image/png;base64,!!!!")], "items[0].image_base64", "not valid base64"),
        ([item(image_base64="data:image/png;base64,aGVsbG\u00f6=")], "items[0].image_base64", "not valid base64"),
        ([item(image_base64=f"data:image/{'x' * 250};base64,")], "items[0].image_base64", "a type of 256 characters"),
        ([item(object_key="k", item_id="no spaces")], "items[0].item_id", "1 to 128 characters"),
        (
            [item(object_key="k", item_id="a"), good(), item(object_key="l", item_id="a")],
            "items[2].item_id",
            "items[0]",
        ),
    ],
    ids=[
        "no items", "no input", "two inputs", "not http", "no data url", "short base64", "no base64",
        "base64 beyond ASCII", "long declared type", "item_id's characters", "repeated item_id",
    ],
)  # fmt: skip
def test_a_bad_item_is_named(raw: Raw, items: Sequence[BatchImageInput], field: str, says: str) -> None:
    refusal = refused(lambda: raw.submit(items))
    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_REQUEST")
    assert list(refusal.violations) == [field]
    assert says in refusal.violations[field]
    assert refusal.message.startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("request_fields", "field", "says"),
    [
        ({"offset": -1}, "offset", "-1 is negative"),
        ({"limit": 5000}, "limit", "5000 is above 1000; ask for more pages"),
        ({"limit": -5}, "limit", "-5 is negative"),
        ({"batch_id": "mine"}, "batch_id", "UUID"),
        ({"statuses": [BATCH_ITEM_STATUS_PROCESSING]}, "statuses[0]", "PENDING"),
        ({"statuses": [BATCH_ITEM_STATUS_SUCCESS, 99]}, "statuses[1]", "enum"),
        ({"item_ids": ["x"] * 1001}, "item_ids", "1000"),
        ({"item_ids": ["x", ""]}, "item_ids[1]", "1"),
    ],
)
def test_a_bad_page_is_named(raw: Raw, request_fields: dict[str, Any], field: str, says: str) -> None:
    refusal = refused(lambda: raw.page(**{"batch_id": UNKNOWN_BATCH, **request_fields}))
    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_REQUEST")
    assert list(refusal.violations) == [field]
    assert says in refusal.violations[field]


def test_an_unknown_operation_names_the_known_ones(raw: Raw) -> None:
    refusal = refused(lambda: raw.submit([good()], operation="embellish"))
    assert (refusal.code, refusal.reason) == (INVALID, "UNKNOWN_OPERATION")
    assert refusal.metadata == {"operation": "embellish"}
    assert "'embellish'" in refusal.violations["options.operation"]
    assert "describe" in refusal.violations["options.operation"]


def test_wrong_parameters_are_all_named(raw: Raw) -> None:
    refusal = refused(lambda: raw.submit([good()], parameters={"word": 7, "colour": "red"}))
    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_PARAMETERS")
    assert refusal.metadata == {"operation": "scripted"}
    assert set(refusal.violations) == {"options.parameters.word", "options.parameters.colour"}
    assert "word" in refusal.violations["options.parameters.colour"]


def test_all_violations_of_shape_come_at_once(raw: Raw) -> None:
    items = [item(), item(image_url="https://a", object_key="k"), item(image_url="ftp://a"), good()]
    refusal = refused(lambda: raw.submit(items, operation="", priority=11, max_attempts=0, labels={"k": "v" * 257}))
    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_REQUEST")
    assert set(refusal.violations) == {
        "items[0]", "items[1]", "items[2].image_url", "options.operation", "options.priority", "options.max_attempts",
        'options.labels["k"]',
    }  # fmt: skip
    assert "7 violations" in refusal.message


def test_all_violations_of_meaning_come_at_once(raw: Raw) -> None:
    items = [
        item(image_base64="data:image/png;base64,?", item_id="a"),
        item(object_key="k", item_id="a"),
    ]
    refusal = refused(lambda: raw.submit(items, parameters={"word": 7}))
    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_REQUEST")
    assert set(refusal.violations) == {"options.parameters.word", "items[0].image_base64", "items[1].item_id"}


def test_only_the_first_violations_are_sent_and_all_are_counted(raw: Raw) -> None:
    refusal = refused(lambda: raw.submit([item() for _ in range(5000)]))
    assert len(refusal.violations) == 20
    assert "5000 violations" in refusal.message


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(1, -5), (-1, 1_500_000_000), (0, 2_000_000_000), (3_599, 1_000_000_000), (0, -100)]
)
def test_a_duration_that_is_none_is_named(raw: Raw, seconds: int, nanos: int) -> None:
    timeout = Duration(seconds=seconds, nanos=nanos)
    refusal = refused(lambda: raw.submit([good()], item_timeout=timeout))
    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_REQUEST")
    assert set(refusal.violations) == {"options.item_timeout"}


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"operation": ""}, "operation"),
        ({"labels": {"": "x"}}, 'labels[""]'),
        ({"labels": {"k" * 64: "x"}}, f'labels["{"k" * 64}"]'),
        ({"labels": {"k": "v" * 257}}, 'labels["k"]'),
        ({"created_after": Timestamp(nanos=-1)}, "created_after"),
        ({"created_before": Timestamp(nanos=1_000_000_000)}, "created_before"),
    ],
)
def test_a_filter_that_nothing_can_match_is_named(raw: Raw, filters: dict[str, Any], field: str) -> None:
    refusal = refused(lambda: raw.batches.ListBatches(batch_service_pb2.ListBatchesRequest(**filters)))
    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_REQUEST")
    assert list(refusal.violations) == [field]


@pytest.mark.parametrize("call", ["status", "page", "cancel", "watch"])
def test_a_batch_that_does_not_exist_is_not_found(raw: Raw, call: str) -> None:
    calls = {
        "status": lambda: raw.status(UNKNOWN_BATCH),
        "page": lambda: raw.page(UNKNOWN_BATCH),
        "cancel": lambda: raw.batches.CancelBatch(batch_service_pb2.CancelBatchRequest(batch_id=UNKNOWN_BATCH)),
        "watch": lambda: list(raw.watch(UNKNOWN_BATCH)),
    }
    refusal = refused(calls[call])
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "BATCH_NOT_FOUND")
    assert refusal.metadata == {"batch_id": UNKNOWN_BATCH}


def test_a_refused_submit_leaves_nothing(raw: Raw) -> None:
    label = {"test": "nothing"}
    refused(lambda: raw.submit([good(), item()], labels=label))
    refused(lambda: raw.submit([item(image_base64="data:image/png;base64,?")], labels=label))
    assert not raw.batches.ListBatches(batch_service_pb2.ListBatchesRequest(labels=label)).batches
