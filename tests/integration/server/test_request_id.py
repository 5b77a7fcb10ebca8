"""request_id makes a submit safe to repeat."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item, refusal, refused

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED, BatchImageInput


def items(picture: str, word: str = "a") -> list[BatchImageInput]:
    return [
        item(object_key=picture, metadata={"word": word}),
        item(image_base64=pictures.data_url(pictures.drawn())),
    ]


def batches_labelled(raw: Raw, test: str) -> int:
    return len(raw.batches.ListBatches(batch_service_pb2.ListBatchesRequest(labels={"test": test})).batches)


def test_the_same_content_answers_the_same_batch(raw: Raw, picture: str) -> None:
    options: dict[str, Any] = {"request_id": "same", "labels": {"test": "same"}}
    first = raw.submit(items(picture), **options)
    raw.watch_to_end(first.batch_id)
    again = raw.submit(items(picture), **options)
    assert (again.batch_id, again.total_items) == (first.batch_id, 2)
    assert again.status == BATCH_STATUS_COMPLETED, "a repeat answers the status of now"
    assert batches_labelled(raw, "same") == 1


def test_what_means_the_same_is_the_same(raw: Raw, picture: str) -> None:
    plain: dict[str, Any] = {"request_id": "defaults"}
    spelt_out: dict[str, Any] = {
        **plain, "priority": 5, "max_attempts": 3, "item_timeout": Duration(seconds=60), "parameters": Struct(),
    }  # fmt: skip
    first = raw.submit(items(picture), **plain)
    assert raw.submit(items(picture), **spelt_out).batch_id == first.batch_id
    streamed = batch_service_pb2.BatchOptions(operation="scripted", request_id="defaults, streamed", priority=5)
    chunk = batch_service_pb2.SubmitBatchStreamRequest(items=batch_service_pb2.BatchImageInputs(items=items(picture)))

    def stream() -> str:
        message = batch_service_pb2.SubmitBatchStreamRequest(options=streamed)
        return raw.batches.SubmitBatchStream(iter([message, chunk])).batch_id

    second = stream()
    streamed.ClearField("priority")
    assert stream() == second


@pytest.mark.parametrize("what", ["items", "options", "operation"])
def test_other_content_already_exists(raw: Raw, picture: str, what: str) -> None:
    request_id = f"other {what}"
    first = raw.submit(items(picture), request_id=request_id)
    refused_for = refused(
        lambda: raw.submit(
            items(picture, "b" if what == "items" else "a"),
            request_id=request_id,
            priority=7 if what == "options" else None,
            operation="noop" if what == "operation" else "scripted",
        )
    )
    assert (refused_for.code, refused_for.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert refused_for.metadata == {"request_id": request_id, "batch_id": first.batch_id}


def test_submits_at_the_same_moment_make_one_batch(raw: Raw, picture: str) -> None:
    def submit(_: int) -> str:
        return raw.submit(items(picture), request_id="at once", labels={"test": "at once"}).batch_id

    with ThreadPoolExecutor(10) as pool:
        answered = set(pool.map(submit, range(10)))
    assert len(answered) == 1
    assert batches_labelled(raw, "at once") == 1


def test_of_different_submits_at_the_same_moment_one_wins(raw: Raw, picture: str) -> None:
    def submit(word: str) -> str:
        try:
            return raw.submit(items(picture, word), request_id="contested", labels={"test": "contested"}).batch_id
        except grpc.RpcError as error:
            return refusal(error).reason

    with ThreadPoolExecutor(10) as pool:
        answered = list(pool.map(submit, "ababababab"))
    assert sorted(Counter(answered).values()) == [5, 5]
    assert "REQUEST_ID_REUSED" in answered
    assert batches_labelled(raw, "contested") == 1


def test_without_a_request_id_every_submit_makes_a_batch(raw: Raw, picture: str) -> None:
    assert raw.submit(items(picture)).batch_id != raw.submit(items(picture)).batch_id
