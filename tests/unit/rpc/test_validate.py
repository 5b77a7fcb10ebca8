"""The contract's rules, as the server applies them: every violation at once, each with its field's path."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from imagebatch.v1 import batch_service_pb2 as batches
from imagebatch.v1 import types_pb2 as types
from imagebatch_server.batches.errors import InvalidRequest
from imagebatch_server.rpc.validate import RequestValidator

BATCH_ID = "0195d2f0-0000-7000-8000-000000000001"


@pytest.fixture(scope="module")
def validator() -> RequestValidator:
    return RequestValidator()


def violations(validator: RequestValidator, method: str, request: Message) -> dict[str, str]:
    try:
        validator.read(f"/imagebatch.v1.BatchService/{method}", request.SerializeToString(), type(request).FromString)
    except InvalidRequest as error:
        return {violation.field: violation.description for violation in error.violations}
    return {}


def submit(**item: Any) -> batches.SubmitBatchRequest:
    return batches.SubmitBatchRequest(
        options=batches.BatchOptions(operation="describe"), items=[types.BatchImageInput(**item)]
    )


def test_a_good_request_passes(validator: RequestValidator) -> None:
    assert violations(validator, "SubmitBatch", submit(image_url="https://a/b.jpg", item_id="a/b:c.d-e_f")) == {}


@pytest.mark.parametrize("field", ["image_url", "image_base64", "object_key", "item_id"])
def test_no_text_of_an_item_is_empty(validator: RequestValidator, field: str) -> None:
    item = {"object_key": "k", field: ""} if field == "item_id" else {field: ""}
    assert set(violations(validator, "SubmitBatch", submit(**item))) == {f"items[0].{field}"}


def test_all_violations_are_found_at_once(validator: RequestValidator) -> None:
    request = batches.SubmitBatchRequest(
        options=batches.BatchOptions(priority=11, failure_limit=0, max_attempts=0, canary=1001, labels={"": "x"}),
        items=[
            types.BatchImageInput(),
            types.BatchImageInput(image_url="http://a", object_key="k"),
            types.BatchImageInput(image_url="ftp://a"),
            types.BatchImageInput(image_base64="data:text/plain;base64,AA=="),
            types.BatchImageInput(object_key="k", item_id="not allowed"),
        ],
    )
    request.options.item_timeout.FromMilliseconds(99)
    assert set(violations(validator, "SubmitBatch", request)) == {
        "options.operation",
        "options.priority",
        "options.failure_limit",
        "options.max_attempts",
        "options.canary",
        "options.item_timeout",
        'options.labels[""]',
        "items[0]",
        "items[1]",
        "items[2].image_url",
        "items[3].image_base64",
        "items[4].item_id",
    }


def test_no_items_and_no_options(validator: RequestValidator) -> None:
    assert set(violations(validator, "SubmitBatch", batches.SubmitBatchRequest())) == {"options", "items"}


def test_messages_name_the_value_and_the_remedy(validator: RequestValidator) -> None:
    found = violations(
        validator, "GetBatchResults", batches.GetBatchResultsRequest(batch_id=BATCH_ID, offset=-1, limit=5000)
    )
    assert found == {
        "offset": "-1 is negative; the first item is at offset 0",
        "limit": "5000 is above 1000; ask for more pages",
    }


@pytest.mark.parametrize("batch_id", ["", "x", BATCH_ID + "0"])
def test_a_batch_id_is_a_uuid(validator: RequestValidator, batch_id: str) -> None:
    assert set(violations(validator, "GetBatchStatus", batches.GetBatchStatusRequest(batch_id=batch_id))) == {
        "batch_id"
    }


def test_processing_is_no_filter(validator: RequestValidator) -> None:
    request = batches.GetBatchResultsRequest(
        batch_id=BATCH_ID, statuses=[types.BATCH_ITEM_STATUS_PENDING, types.BATCH_ITEM_STATUS_PROCESSING]
    )
    assert set(violations(validator, "GetBatchResults", request)) == {"statuses[1]"}


def test_byte_limits_are_of_the_serialised_struct(validator: RequestValidator) -> None:
    metadata, parameters = Struct(), Struct()
    metadata.update({"text": "x" * 9_000})
    parameters.update({"text": "x" * 66_000})
    request = submit(object_key="k", metadata=metadata)
    request.options.parameters.CopyFrom(parameters)
    found = violations(validator, "SubmitBatch", request)
    assert set(found) == {"options.parameters", "items[0].metadata"}
    assert "8192" in found["items[0].metadata"]


def test_metadata_that_comes_in_pieces_is_measured_whole(validator: RequestValidator) -> None:
    item = b""  # which parsers merge
    for key in "ab":
        metadata = Struct()
        metadata[key] = "x" * 5_000
        item += types.BatchImageInput(object_key="k", metadata=metadata).SerializeToString()
    request = b"\x12" + bytes([len(item) & 0x7F | 0x80, len(item) >> 7]) + item
    with pytest.raises(InvalidRequest) as raised:
        validator.read("/imagebatch.v1.BatchService/SubmitBatch", request, batches.SubmitBatchRequest.FromString)
    assert [violation.field for violation in raised.value.violations] == ["options", "items[0].metadata"]


@pytest.mark.parametrize(
    ("metadata", "field", "says"),
    [
        (b"\xff\xff\xff", "items[0].metadata", "google.protobuf.Struct"),
        (b"\x0a\x05\x0a\x03\xff\xff\xff", "items[0].metadata.", "UTF-8"),
    ],
)
def test_bytes_that_are_no_request_are_refused(
    validator: RequestValidator, metadata: bytes, field: str, says: str
) -> None:
    request = b"\x12" + bytes([len(metadata) + 2]) + b"\x22" + bytes([len(metadata)]) + metadata
    with pytest.raises(InvalidRequest) as raised:
        validator.read("/imagebatch.v1.BatchService/SubmitBatch", request, batches.SubmitBatchRequest.FromString)
    (violation,) = raised.value.violations
    assert violation.field == field
    assert says in violation.description


def test_what_the_contract_has_not_is_refused(validator: RequestValidator) -> None:
    request = submit(object_key="k").SerializeToString() + b"\xfa\x01\x00"
    with pytest.raises(InvalidRequest) as raised:
        validator.read("/imagebatch.v1.BatchService/SubmitBatch", request, batches.SubmitBatchRequest.FromString)
    assert [violation.field for violation in raised.value.violations] == ["31"]


def test_ten_thousand_items_are_checked_whole(validator: RequestValidator) -> None:
    request = submit(object_key="k")
    request.items.extend(types.BatchImageInput(object_key=f"k{index}") for index in range(9_998))
    request.items.add()
    assert set(violations(validator, "SubmitBatch", request)) == {"items[9999]"}


def test_no_string_may_hold_nul_but_those_of_structs(validator: RequestValidator) -> None:
    metadata = Struct()
    metadata["a\0"] = "b\0"
    request = batches.SubmitBatchRequest(
        options=batches.BatchOptions(operation="a\0", request_id="\0", labels={"a": "b\0"}),
        items=[
            types.BatchImageInput(object_key="a", metadata=metadata),
            types.BatchImageInput(object_key="a\0"),
            types.BatchImageInput(image_url="http://a/\0"),
        ],
    )
    found = violations(validator, "SubmitBatch", request)
    assert set(found) == {
        "options.operation",
        "options.request_id",
        "options.labels",
        "items[1].object_key",
        "items[2].image_url",
    }
    assert all("NUL" in text for text in found.values())
    page = batches.GetBatchResultsRequest(batch_id=BATCH_ID, item_ids=["a", "b\0"])
    assert set(violations(validator, "GetBatchResults", page)) == {"item_ids[1]"}
    listing = batches.ListBatchesRequest(labels={"\0": "a"})
    assert set(violations(validator, "ListBatches", listing)) == {"labels"}
