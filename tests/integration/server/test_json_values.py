"""Metadata, parameters and outputs hold what every reader of JSON can take, and nothing else gets in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from tests import wire
from tests.integration.server.calls import Raw, Refusal, item, plain, refused

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.types_pb2 import BATCH_ITEM_STATUS_SUCCESS, ITEM_ERROR_CODE_INTERNAL, BatchImageInput

UNKNOWN_FIELD = b"\x9a\x06\x01x"  # number 99


def nested(levels: int, *, lists: bool = False) -> dict[str, Any]:
    value: Any = [] if lists else {}
    for _ in range(levels - 2):
        value = [value] if lists else {"k": value}
    return {"k": value}


def unset(name: str) -> Struct:
    struct = Struct()
    struct.fields[name].SetInParent()
    return struct


def submit(raw: Raw, items: list[BatchImageInput], **options: Any) -> Refusal:
    return refused(lambda: raw.submit(items, **options))


def submit_stream(raw: Raw, items: list[BatchImageInput], **options: Any) -> Refusal:
    messages = [
        batch_service_pb2.SubmitBatchStreamRequest(
            options=batch_service_pb2.BatchOptions(operation="scripted", **options)
        ),
        *(
            batch_service_pb2.SubmitBatchStreamRequest(items=batch_service_pb2.BatchImageInputs(items=[one]))
            for one in items
        ),
    ]
    return refused(lambda: raw.batches.SubmitBatchStream(iter(messages)))


SUBMITS = pytest.mark.parametrize("send", [submit, submit_stream])
Send = Callable[..., Refusal]


@SUBMITS
@pytest.mark.parametrize(
    ("metadata", "path", "says"),
    [
        (nested(31), ".k" * 30, "deeper than 30 levels"),
        (nested(31, lists=True), ".k" + "[0]" * 29, "deeper than 30 levels"),
        ({"a": {"b": [0, math.nan]}}, ".a.b[1]", "nan"),
        ({"a": math.inf}, ".a", "inf"),
        (unset("none"), ".none", "no kind"),
    ],
)
def test_metadata_that_readers_stumble_over_is_refused(
    raw: Raw, send: Send, metadata: dict[str, Any] | Struct, path: str, says: str
) -> None:
    refusal = send(raw, [item(object_key="k"), with_metadata(metadata)])
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    ((field, description),) = refusal.violations.items()
    assert field == f"items[1].metadata{path}"
    assert says in description


def with_metadata(metadata: dict[str, Any] | Struct) -> BatchImageInput:
    message = BatchImageInput(object_key="k")
    if isinstance(metadata, Struct):
        message.metadata.CopyFrom(metadata)
    else:
        message.metadata.update(metadata)
    return message


def test_metadata_that_no_parser_reads_is_refused_by_its_path(raw: Raw) -> None:
    call: Any = raw.channel.unary_unary("/imagebatch.v1.BatchService/SubmitBatch")
    refusal = refused(lambda: call(wire.field(2, wire.field(4, wire.nested(300, lists=False)))))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert list(refusal.violations) == ["items[0].metadata" + ".k" * 30]


@SUBMITS
def test_parameters_that_readers_stumble_over_are_refused(raw: Raw, send: Send) -> None:
    parameters = Struct()
    parameters.update({"word": [math.nan], "deep": nested(30)})
    parameters.fields["none"].SetInParent()
    refusal = send(raw, [item(object_key="k")], parameters=parameters)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert set(refusal.violations) == {
        "options.parameters.word[0]", "options.parameters.none", "options.parameters.deep" + ".k" * 29,
    }  # fmt: skip


@pytest.mark.parametrize("lists", [False, True])
def test_thirty_levels_come_back_whole(raw: Raw, picture: str, lists: bool) -> None:
    metadata = nested(30, lists=lists)
    batch_id = raw.submit([item(object_key=picture, metadata=metadata)], "noop").batch_id
    (watched,) = raw.watch_to_end(batch_id).results
    (paged,) = raw.page(batch_id).results
    assert watched.status == BATCH_ITEM_STATUS_SUCCESS
    assert plain(watched.input_data)["metadata"] == plain(paged.input_data)["metadata"] == metadata


def test_an_output_that_readers_stumble_over_is_a_defect_of_its_operation(raw: Raw, picture: str) -> None:
    echoed = raw.submit([item(object_key=picture, metadata=nested(levels)) for levels in (29, 30)]).batch_id
    good, too_deep = sorted(raw.watch_to_end(echoed).results, key=lambda result: result.item_index)
    (no_number,) = raw.watch_to_end(raw.submit([item(object_key=picture)], "not-a-number").batch_id).results
    assert good.status == BATCH_ITEM_STATUS_SUCCESS  # the output holds the metadata, so it has a level more
    assert (too_deep.error_code, no_number.error_code) == (ITEM_ERROR_CODE_INTERNAL, ITEM_ERROR_CODE_INTERNAL)
    assert "nested deeper than 30 levels" in too_deep.error_message
    assert "metadata.n[0]: nan" in no_number.error_message


def test_a_field_that_the_contract_has_not_is_named(raw: Raw) -> None:
    request = batch_service_pb2.SubmitBatchRequest(
        options=batch_service_pb2.BatchOptions(operation="scripted"), items=[item(object_key="k"), item(object_key="k")]
    )
    request.items[1].MergeFromString(UNKNOWN_FIELD)
    request.options.item_timeout.MergeFromString(UNKNOWN_FIELD)
    refusal = refused(lambda: raw.batches.SubmitBatch(request))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert set(refusal.violations) == {"items[1].99", "options.item_timeout.99"}
    assert all("field 99 " in text for text in refusal.violations.values())


@pytest.mark.parametrize("rpc", ["GetBatchStatus", "ListOperations", "RetryBatch", "WatchBatch", "GetServerInfo"])
def test_no_rpc_overlooks_a_field_that_it_does_not_know(raw: Raw, rpc: str) -> None:
    request = getattr(batch_service_pb2, f"{rpc}Request").FromString(UNKNOWN_FIELD)

    def call() -> object:
        answer = getattr(raw.batches, rpc)(request)
        return list(answer) if rpc == "WatchBatch" else answer

    assert "99" in refused(call).violations


def test_the_server_lists_its_features(raw: Raw) -> None:
    features = list(raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest()).features)
    assert features == sorted(features)
    assert {"json_values_only", "unknown_fields_refused"} <= set(features)
