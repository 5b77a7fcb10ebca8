"""One caller can't hold up the others: uploads and submits that stall, streams and calls without end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.access.secured import Secured
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item, refusal, refused
from tests.operations_for_tests import OPERATIONS
from tests.server import running_server

from imagebatch.v1 import batch_service_pb2, image_service_pb2

STALLED = 500
INFO = batch_service_pb2.GetServerInfoRequest()


@pytest.fixture
def crowded(folder: Path) -> Iterator[Secured]:
    """Run a server on which one caller may have as many streams as there are places."""
    made = Secured(folder)
    settings = {**made.settings, "max_transfers": str(STALLED), "max_streams_per_principal": str(STALLED)}
    with running_server(folder / "data", settings, OPERATIONS) as server:
        made.server = server
        yield made
        made.close()


def counts(raw: Raw) -> bool:
    try:
        raw.batches.GetServerInfo(INFO, timeout=30)
    except grpc.RpcError:
        return False
    return True


def is_let_in(raw: Raw) -> bool:
    try:
        raw.upload(pictures.drawn())
    except grpc.RpcError as error:
        return refusal(error).retry_delay_s is None  # a refusal that is for good fails at the next call
    return True


def test_500_stalled_uploads_hold_up_nobody(crowded: Secured) -> None:
    stalling, working = (crowded.client(crowded.grant(name, name)) for name in ("stalling", "working"))
    eventually(lambda: counts(stalling) and counts(working))
    begun, ended = threading.Semaphore(0), threading.Event()

    def messages() -> Iterator[image_service_pb2.UploadImageRequest]:
        yield image_service_pb2.UploadImageRequest(header=image_service_pb2.UploadImageHeader())
        begun.release()
        ended.wait()

    uploads: list[Any] = [stalling.images.UploadImage.future(messages()) for _ in range(STALLED)]
    for _ in uploads:
        assert begun.acquire(timeout=60)
    one_more = refused(lambda: stalling.upload(b"x"))
    assert (one_more.code, one_more.metadata["limit"]) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "max_streams_per_principal",
    )
    eventually(lambda: is_let_in(working))  # uploads that began within the last second are no stalled ones yet
    for seed in range(5):
        key = working.upload(pictures.drawn(seed)).object_key
        assert working.download(key)[1] == pictures.drawn(seed)
        batch_id = working.submit([item(object_key=key)]).batch_id
        assert working.watch_to_end(batch_id).results
    made_room = [upload for upload in uploads if upload.done()]
    assert made_room
    assert {refusal(upload.exception()).metadata["limit"] for upload in made_room} == {"max_transfer_idle_ms"}
    ended.set()


def test_a_request_that_never_comes_is_ended_and_a_caller_has_so_many(folder: Path) -> None:
    made = Secured(folder)
    settings = {**made.settings, "max_transfer_idle_s": "3", "max_calls_per_principal": "2"}
    with running_server(folder / "data", settings, OPERATIONS) as server:
        made.server = server
        raw = made.client(made.grant("slow", "acme"))
        eventually(lambda: counts(raw))
        ended = threading.Event()

        def never() -> Iterator[bytes]:
            ended.wait()
            yield b""

        # By the wire, a unary call whose message doesn't come is a stream without one.
        submit: Any = raw.channel.stream_unary("/imagebatch.v1.BatchService/SubmitBatch")
        stalled: list[Any] = [submit.future(never()) for _ in range(2)]
        eventually(lambda: not counts(raw))
        assert refused(lambda: raw.batches.GetServerInfo(INFO)).metadata["limit"] == "max_calls_per_principal"
        for call in stalled:
            assert refusal(call.exception(timeout=30)).metadata["limit"] == "max_transfer_idle_ms"
        assert counts(raw)
        ended.set()
        made.close()


def test_nothing_is_received_of_who_is_not_let_in(secured: Secured) -> None:
    taken = []

    def chunks() -> Iterator[image_service_pb2.UploadImageRequest]:
        yield image_service_pb2.UploadImageRequest(header=image_service_pb2.UploadImageHeader())
        for _ in range(1_000):
            taken.append(1)
            yield image_service_pb2.UploadImageRequest(chunk=bytes(1_000_000))

    stranger = secured.client("wrong")
    assert refused(lambda: stranger.images.UploadImage(chunks())).code is grpc.StatusCode.UNAUTHENTICATED
    assert len(taken) < 100
    large = [item(image_base64=pictures.data_url(bytes(1_000_000))) for _ in range(20)]
    assert refused(lambda: stranger.submit(large)).code is grpc.StatusCode.UNAUTHENTICATED
