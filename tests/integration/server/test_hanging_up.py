"""Callers that hang up at any moment: what they asked for is done whole or not at all, and nothing lies about."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeAlias

import grpc
import pytest
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, blobs, eventually, is_terminal, item, upload_messages
from tests.server import ServerProcess

from imagebatch.v1.batch_service_pb2 import (
    BatchImageInputs,
    BatchOptions,
    CancelBatchRequest,
    ListBatchesRequest,
    SubmitBatchRequest,
    SubmitBatchStreamRequest,
)
from imagebatch.v1.image_service_pb2 import UploadImageRequest
from imagebatch.v1.types_pb2 import BATCH_STATUS_CANCELLED, BatchImageInput, BatchStatusResult

MIB = 1024 * 1024

Begun: TypeAlias = "grpc.Future[Any]"
Call = Callable[[random.Random, float | None, threading.Event], Begun]
"""Begins a call with a deadline; a request stream may end once the event is set."""


def hang_up(call: Call, times: int = 120, within_s: float = 0.03) -> None:
    """Make calls, eight at a time, and cut each at some moment, some by their deadline."""

    def one(seed: int) -> None:
        dice = random.Random(seed)
        is_cut = threading.Event()
        begun = call(dice, dice.choice([None, within_s * dice.random()]), is_cut)
        is_cut.wait(within_s * dice.random())
        begun.cancel()
        is_cut.set()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(times)))


def listed(raw: Raw, test: str) -> list[BatchStatusResult]:
    return list(raw.batches.ListBatches(ListBatchesRequest(labels={"test": test}, page_size=1000)).batches)


def drawn(dice: random.Random) -> BatchImageInput:
    return item(image_base64=pictures.data_url(pictures.drawn(dice.randrange(10_000))))


def options(test: str) -> BatchOptions:
    return BatchOptions(operation="noop", labels={"test": test})


def stream(parts: list[list[BatchImageInput]], test: str) -> Iterator[SubmitBatchStreamRequest]:
    yield SubmitBatchStreamRequest(options=options(test))
    for items in parts:
        yield SubmitBatchStreamRequest(items=BatchImageInputs(items=items))


def unfinished(messages: Iterator[Any], is_cut: threading.Event) -> Iterator[Any]:
    """Messages whose end is never reached."""
    yield from messages
    is_cut.wait(20)


def assert_nothing_lies_about(server: ServerProcess) -> None:
    """Every file has its row, without which no sweep would ever find it."""

    def rows() -> set[str]:
        with closing(sqlite3.connect(f"file:{server.data_dir / 'imagebatch.db'}?mode=ro", uri=True)) as database:
            return {key for (key,) in database.execute("SELECT object_key FROM objects")}

    eventually(lambda: {path.name for path in blobs(server)} == rows())


def test_an_upload_that_is_cut_leaves_nothing(raw: Raw, server: ServerProcess) -> None:
    before, is_cut = blobs(server), threading.Event()
    call = raw.images.UploadImage.future(unfinished(upload_messages(bytes(2 * MIB), chunk_bytes=MIB), is_cut))
    eventually(lambda: blobs(server) > before)
    call.cancel()
    is_cut.set()
    eventually(lambda: blobs(server) == before)


def test_uploads_that_are_cut_at_any_moment_leave_nothing(raw: Raw, server: ServerProcess) -> None:
    before = blobs(server)

    def upload(dice: random.Random, deadline_s: float | None, is_cut: threading.Event) -> Begun:
        messages: Iterator[UploadImageRequest] = upload_messages(bytes(dice.randrange(300_000)), chunk_bytes=64 * 1024)
        return raw.images.UploadImage.future(unfinished(messages, is_cut), timeout=deadline_s)

    hang_up(upload)
    eventually(lambda: blobs(server) == before)


def test_uploads_that_are_whole_when_the_caller_goes_are_stored_whole_or_not(raw: Raw, server: ServerProcess) -> None:
    def upload(dice: random.Random, deadline_s: float | None, _: threading.Event) -> Begun:
        return raw.images.UploadImage.future(upload_messages(bytes(dice.randrange(300_000))), timeout=deadline_s)

    hang_up(upload)
    assert_nothing_lies_about(server)


def test_streams_that_are_cut_at_any_moment_make_no_batch(raw: Raw, server: ServerProcess) -> None:
    def submit(dice: random.Random, deadline_s: float | None, is_cut: threading.Event) -> Begun:
        parts = [[drawn(dice)] * 3 for _ in range(dice.randrange(4))]
        return raw.batches.SubmitBatchStream.future(unfinished(stream(parts, "cut"), is_cut), timeout=deadline_s)

    hang_up(submit)
    assert_nothing_lies_about(server)
    assert listed(raw, "cut") == []


@pytest.mark.parametrize("rpc", ["SubmitBatch", "SubmitBatchStream"])
def test_a_batch_whose_caller_is_gone_runs_if_it_was_stored(raw: Raw, server: ServerProcess, rpc: str) -> None:
    def submit(dice: random.Random, deadline_s: float | None, _: threading.Event) -> Begun:
        if rpc == "SubmitBatch":
            request = SubmitBatchRequest(options=options(rpc), items=[drawn(dice)])
            return raw.batches.SubmitBatch.future(request, timeout=deadline_s)
        return raw.batches.SubmitBatchStream.future(stream([[drawn(dice)]], rpc), timeout=deadline_s)

    hang_up(submit, within_s=0.3)
    assert listed(raw, rpc), "some were stored before their caller went"
    eventually(lambda: all(is_terminal(batch) for batch in listed(raw, rpc)))
    assert_nothing_lies_about(server)


def test_a_cancellation_whose_caller_is_gone_is_carried_out(raw: Raw, picture: str) -> None:
    slow = item(object_key=picture, metadata={"do": "sleep", "seconds": 0.05})
    batch_ids = [raw.submit([slow] * 1000).batch_id for _ in range(24)]
    waiting = list(batch_ids)

    def cancel(_: random.Random, deadline_s: float | None, __: threading.Event) -> Begun:
        return raw.batches.CancelBatch.future(CancelBatchRequest(batch_id=waiting.pop()), timeout=deadline_s)

    hang_up(cancel, times=len(batch_ids))
    asked = [batch_id for batch_id in batch_ids if raw.status(batch_id).HasField("cancel_requested_at")]
    assert asked, "some were stored before their caller went"
    eventually(lambda: all(raw.status(batch_id).status == BATCH_STATUS_CANCELLED for batch_id in asked))
