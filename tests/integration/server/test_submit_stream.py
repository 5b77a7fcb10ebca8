"""SubmitBatchStream: a batch in pieces, whole or not at all, however the stream ends."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
import pytest
from tests.integration.server.calls import Raw, item, refused

from imagebatch.v1.batch_service_pb2 import (
    BatchImageInputs,
    BatchOptions,
    ListBatchesRequest,
    SubmitBatchStreamRequest,
)
from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED, BatchImageInput

OPTIONS = SubmitBatchStreamRequest(options=BatchOptions(operation="noop"))


def part(items: Iterable[BatchImageInput]) -> SubmitBatchStreamRequest:
    return SubmitBatchStreamRequest(items=BatchImageInputs(items=items))


def stream(parts: Iterable[Iterable[BatchImageInput]], **options: Any) -> Iterator[SubmitBatchStreamRequest]:
    yield SubmitBatchStreamRequest(options=BatchOptions(operation="noop", **options))
    for items in parts:
        yield part(items)


def listed(raw: Raw, test: str) -> int:
    return len(raw.batches.ListBatches(ListBatchesRequest(labels={"test": test})).batches)


def test_more_than_a_request_may_hold(raw: Raw, picture: str) -> None:
    parts = [
        [item(object_key=picture, metadata={"text": "x" * 4000}, item_id=f"{number}/{index}") for index in range(500)]
        for number in range(20)
    ]
    assert sum(part(items).ByteSize() for items in parts) > 32 * 1024 * 1024
    submitted = raw.batches.SubmitBatchStream(stream(parts))
    assert submitted.total_items == 10_000
    watched = raw.watch_to_end(submitted.batch_id)
    assert watched.statuses[-1].status == BATCH_STATUS_COMPLETED
    assert [result.sequence for result in watched.results] == list(range(1, 10_001))
    page = raw.page(submitted.batch_id, offset=9_999)
    assert [(result.item_index, result.item_id) for result in page.results] == [(9_999, "19/499")]


@pytest.mark.parametrize(
    ("messages", "fields"),
    [
        ([], {"options"}),
        ([part([item(object_key="k")])], {"options"}),
        ([OPTIONS, OPTIONS], {"options"}),
        ([OPTIONS], {"items"}),
        ([OPTIONS, part([])], {"items"}),
        ([OPTIONS, part([item(object_key="k")] * 3), part([item(), item(image_url="ftp://a")])],
         {"items[3]", "items[4].image_url"}),
        ([OPTIONS, part([item(object_key="k", item_id="a")]), part([item(object_key="k", item_id="a")])],
         {"items[1].item_id"}),
    ],
    ids=["nothing", "no options", "options twice", "no items", "empty part", "bad items", "repeated item_id"],
)  # fmt: skip
def test_a_wrong_stream_is_refused(raw: Raw, messages: list[SubmitBatchStreamRequest], fields: set[str]) -> None:
    refusal = refused(lambda: raw.batches.SubmitBatchStream(iter(messages), timeout=20))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert set(refusal.violations) == fields


def test_a_repeat_is_answered_without_its_items(raw: Raw, picture: str) -> None:
    options: dict[str, Any] = {"request_id": "stream", "labels": {"test": "repeat"}}
    first = raw.batches.SubmitBatchStream(stream([[item(object_key=picture)]], **options))
    cut = threading.Event()
    again = raw.batches.SubmitBatchStream(unfinished([[item(object_key=picture)]], cut, **options), timeout=20)
    cut.set()
    assert again.batch_id == first.batch_id
    assert listed(raw, "repeat") == 1


def unfinished(
    parts: Iterable[Iterable[BatchImageInput]], cut: threading.Event, **options: Any
) -> Iterator[SubmitBatchStreamRequest]:
    """Messages that don't end before the call is cut."""
    yield from stream(parts, **options)
    cut.wait(20)
