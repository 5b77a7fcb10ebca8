"""Open streams end within 30 s once their callers could not open them any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest
from tests.integration.access.secured import Secured
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, blobs, eventually, item, refused

from imagebatch.v1 import batch_service_pb2, image_service_pb2

MOST_S = 30.0
ENDED = '"access.stream_ended"'


@pytest.fixture
def gate(folder: Path) -> Iterator[Path]:
    """Batches that were begun by the test end when it does."""
    yield folder / "gate"
    (folder / "gate").touch()


def watching(raw: Raw, gate: Path, _: threading.Event) -> Iterator[object]:
    waits = {"do": "wait", "until": str(gate), "begun": str(gate.with_suffix(".begun"))}
    image = pictures.data_url(pictures.drawn())
    batch_id = raw.submit([item(image_base64=image, metadata=waits)], max_attempts=1).batch_id
    watch: Iterator[object] = raw.watch(batch_id)
    next(watch)
    return watch


def uploading(raw: Raw, _: Path, ended: threading.Event) -> Iterator[object]:
    begun = threading.Event()

    def messages() -> Iterator[image_service_pb2.UploadImageRequest]:
        yield image_service_pb2.UploadImageRequest(header=image_service_pb2.UploadImageHeader())
        yield image_service_pb2.UploadImageRequest(chunk=b"x" * 100_000)
        begun.set()
        ended.wait()

    return _result(raw.images.UploadImage.future(messages()), begun)


def submitting(raw: Raw, _: Path, ended: threading.Event) -> Iterator[object]:
    begun = threading.Event()

    def messages() -> Iterator[batch_service_pb2.SubmitBatchStreamRequest]:
        options = batch_service_pb2.BatchOptions(operation="scripted")
        yield batch_service_pb2.SubmitBatchStreamRequest(options=options)
        items = batch_service_pb2.BatchImageInputs(items=[item(image_url="https://example.com/a.png")])
        yield batch_service_pb2.SubmitBatchStreamRequest(items=items)
        begun.set()
        ended.wait()

    return _result(raw.batches.SubmitBatchStream.future(messages()), begun)


def downloading(raw: Raw, _: Path, ended: threading.Event) -> Iterator[object]:
    key = raw.upload(b"x" * 20_000_000).object_key
    download: Iterator[object] = raw.images.DownloadImage(image_service_pb2.DownloadImageRequest(object_key=key))
    next(download)  # and no more is taken until the end
    return _after(ended, download)


def _result(future: Any, begun: threading.Event) -> Iterator[object]:
    assert begun.wait(10)
    return (future.result() for _ in range(1))


def _after(event: threading.Event, messages: Iterator[object]) -> Iterator[object]:
    event.wait()
    yield from messages


@pytest.mark.parametrize("stream", [watching, uploading, submitting, downloading])
def test_a_revoked_token_ends_the_streams_that_it_opened(
    stream: Callable[[Raw, Path, threading.Event], Iterator[object]], secured: Secured, gate: Path
) -> None:
    name, ended = stream.__name__, threading.Event()
    raw = secured.client(secured.grant(name, "acme"))
    eventually(lambda: _admits(raw))
    before, ends = blobs(secured.server), secured.server.log.count(ENDED)
    messages = stream(raw, gate, ended)
    secured.revoke(name)
    revoked_at = monotonic()
    if stream is downloading:
        eventually(lambda: secured.server.log.count(ENDED) > ends)
        ended.set()
    refusal = refused(lambda: list(messages))
    ended.set()
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert monotonic() - revoked_at < MOST_S
    if stream is uploading:
        eventually(lambda: blobs(secured.server) == before)


def test_an_expired_token_ends_a_watch(secured: Secured, gate: Path) -> None:
    raw = secured.client(secured.grant("brief", "acme", lifetime_s=8))
    eventually(lambda: _admits(raw))
    messages = watching(raw, gate, threading.Event())
    refusal = refused(lambda: list(messages))
    assert refusal.code is grpc.StatusCode.UNAUTHENTICATED
    assert "has expired" in refusal.message


def _admits(raw: Raw) -> bool:
    try:
        raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest(), timeout=10)
    except grpc.RpcError:
        return False
    return True
