"""Messages that are assembled from bytes say what protobuf itself would say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.batches.samples import batch, item, options

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch.v1.enums import BatchItemStatus, BatchStatus, ItemErrorCode
from imagebatch_server.batches.model import ItemResult, Outcome
from imagebatch_server.rpc import render, wire

AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


def struct_bytes(value: dict[str, Any]) -> bytes:
    message = Struct()
    message.update(value)
    return message.SerializeToString()


def rendered(result: ItemResult) -> types_pb2.BatchItemResult:
    data = render.ResultRenderer(lambda tenant, key: f"file:///blobs/{tenant}/{key}")("acme", result)
    return types_pb2.BatchItemResult.FromString(data)


def test_a_success_carries_input_and_output() -> None:
    message = rendered(
        ItemResult(
            batch_id="b",
            item=item(3, item_id="cat", size_bytes=12, sha256="ab", metadata=struct_bytes({"page": 3, "é": [1, None]})),
            outcome=Outcome(
                item_index=3,
                status=BatchItemStatus.SUCCESS,
                output_data=struct_bytes({"description": "a cat", "nested": {"a": [True, 1.5]}}),
                processing_time_ms=0,
                attempts=2,
                image_sha256="cd",
                stored_object_key="default.9",
                preview_object_key="default.10",
            ),
            sequence=7,
            completed_at=AT,
        )
    )
    assert message.item_id == "cat"
    assert message.item_index == 3
    assert message.status == types_pb2.BATCH_ITEM_STATUS_SUCCESS
    assert MessageToDict(message.input_data) == {
        "object_key": "default.0123",
        "size_bytes": 12.0,
        "sha256": "ab",
        "metadata": {"page": 3.0, "é": [1.0, None]},
    }
    assert MessageToDict(message.output_data) == {"description": "a cat", "nested": {"a": [True, 1.5]}}
    assert message.HasField("processing_time_ms")
    assert message.stored_image_url == "file:///blobs/acme/default.9"
    assert (message.preview_url, message.preview_object_key) == ("file:///blobs/acme/default.10", "default.10")
    assert message.completed_at.ToDatetime(tzinfo=UTC) == AT
    assert message.sequence == 7
    assert (message.attempts, message.image_sha256, message.stored_object_key) == (2, "cd", "default.9")
    assert not message.HasField("error_message")


def test_an_item_without_an_outcome_leaves_its_fields_absent() -> None:
    message = rendered(ItemResult(batch_id="b", item=item(0, image_url="http://a/?q=1")))
    assert message.item_id == "b-0"
    assert message.status == types_pb2.BATCH_ITEM_STATUS_PENDING
    assert MessageToDict(message.input_data) == {"image_url": "http://a/?q=1"}
    fields = {field.name for field, _ in message.ListFields()}
    assert fields == {"item_id", "status", "input_data"}


def test_a_failure_says_why() -> None:
    message = rendered(
        ItemResult(
            batch_id="b",
            item=item(),
            outcome=Outcome(0, BatchItemStatus.FAILED, ItemErrorCode.TIMEOUT, "took longer than 1 s"),
            sequence=1,
            completed_at=AT,
        )
    )
    assert message.error_code == types_pb2.ITEM_ERROR_CODE_TIMEOUT
    assert message.error_message == "took longer than 1 s"


@given(st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False) | st.dictionaries(st.text(), st.text())))
def test_structs_are_those_of_protobuf(value: dict[str, Any]) -> None:
    data = b"".join(entry(key, held) for key, held in value.items())
    expected = Struct()
    expected.update(value)
    assert Struct.FromString(data) == expected


def entry(key: str, value: Any) -> bytes:
    if isinstance(value, float):
        return wire.number_entry(key)(value)
    kind, data = (wire.STRING, value.encode()) if isinstance(value, str) else (wire.STRUCT, struct_bytes(value))
    return wire.entry_head(key, kind)[len(data)] + data


@pytest.mark.parametrize("size", [0, 120, 127, 128, 16_370, 16_384, 2_100_000])
def test_entries_of_any_size_are_those_of_protobuf(size: int) -> None:
    expected = Struct()
    expected.update({"note": "x" * size})
    assert Struct.FromString(entry("note", "x" * size)) == expected


@given(st.integers(min_value=0, max_value=2**63 - 1) | st.integers(min_value=0, max_value=2**22))
@example(2**7 - 1)
@example(2**7)
@example(2**14 - 1)
@example(2**14)
@example(2**21 - 1)
@example(2**21)
def test_integers_are_those_of_protobuf(value: int) -> None:
    message = batch_service_pb2.WatchBatchResponse(sequence=value)
    field = wire.Integer(message.SEQUENCE_FIELD_NUMBER)
    assert batch_service_pb2.WatchBatchResponse.FromString(field[value]) == message
    assert field[value] == (message.SerializeToString() or b"\x18\x00")


def test_a_watch_message_joins_results_and_status() -> None:
    result = render.ResultRenderer(lambda _tenant, _key: None)("acme", ItemResult(batch_id="b", item=item(4)))
    running = batch(options=options(parameters=struct_bytes({"a": 1}), labels={"k": "v"}))
    data = render.watch_response([result, result], running, 9)
    message = batch_service_pb2.WatchBatchResponse.FromString(data)
    assert [one.item_index for one in message.results] == [4, 4]
    assert message.sequence == 9
    assert message.status.labels == {"k": "v"}
    assert not message.status.HasField("parameters")


@pytest.mark.parametrize(("max_bytes", "expected"), [(10_000, 3), (1, 1)])
def test_a_page_holds_what_fits_and_says_whether_more_follows(max_bytes: int, expected: int) -> None:
    results = [
        render.ResultRenderer(lambda _tenant, _key: None)("acme", ItemResult(batch_id="b", item=item(index)))
        for index in range(3)
    ]
    data = render.page(
        batch(status=BatchStatus.COMPLETED, total_items=3), results, offset=0, limit=3, total=3, max_bytes=max_bytes
    )
    message = types_pb2.BatchResults.FromString(data)
    assert [one.item_index for one in message.results] == list(range(expected))
    assert message.pagination.has_more is (expected < 3)


def test_metadata_from_before_the_rule_of_levels_can_be_read() -> None:
    message = Struct()
    message.fields["name"].string_value = "cat"
    value = message.fields["deep"]
    for _ in range(47):  # which parsers took, and refuse within a page or a watch
        value = value.list_value.values.add()
    result = ItemResult(batch_id="b", item=item(0, metadata=message.SerializeToString()))
    sent = render.watch_response([render.ResultRenderer(lambda _tenant, _key: None)("acme", result)], None, 1)
    read = MessageToDict(batch_service_pb2.WatchBatchResponse.FromString(sent).results[0].input_data)["metadata"]
    assert read["name"] == "cat"
    assert "(left out: it is nested deeper than 30 levels" in str(read["deep"])


def test_parameters_from_before_the_rule_of_levels_can_be_read() -> None:
    message = Struct()
    message.fields["n"].number_value = float("nan")
    status = render.status(batch(options=options(parameters=message.SerializeToString())), with_parameters=True)
    assert MessageToDict(status.parameters) == {"n": "(left out: it is nan, which is no JSON number)"}
