"""The contract by gRPC-Web, binary and in base64, called as its specification says."""

from __future__ import annotations

import base64
import gzip
from urllib.parse import unquote

import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2
from tests.integration.http.conftest import PAGE, Site
from tests.integration.http.frames import frame, grpc_web
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, is_terminal, item

from imagebatch.v1 import batch_service_pb2, image_service_pb2

KINDS = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
]
UNKNOWN = "0195d2f0-0000-7000-8000-000000000001"


def call(
    http: httpx.Client, url: str, message: bytes, kind: str = KINDS[1], **headers: str
) -> tuple[list[bytes], dict[str, str]]:
    is_text = "text" in kind
    body = frame(message)
    sent = base64.b64encode(body) if is_text else body
    answer = http.post(url, content=sent, headers={"content-type": kind, "x-grpc-web": "1", "origin": PAGE, **headers})
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["access-control-allow-origin"] == PAGE
    return grpc_web(_parts(answer.content) if is_text else answer.content)


def _parts(text: bytes) -> bytes:
    """Decode base64 that was padded wherever the server sent something."""
    return b"".join(base64.b64decode(text[at : at + 4]) for at in range(0, len(text), 4))


@pytest.mark.parametrize("kind", KINDS)
def test_a_unary_call(site: Site, http: httpx.Client, kind: str) -> None:
    (data,), trailers = call(http, f"{site.batches}/GetServerInfo", b"", kind)
    assert batch_service_pb2.GetServerInfoResponse.FromString(data).version
    assert trailers == {"grpc-status": "0"}


@pytest.mark.parametrize("kind", [KINDS[1], KINDS[3]])
def test_a_stream(site: Site, http: httpx.Client, raw: Raw, picture: str, kind: str) -> None:
    batch_id = raw.submit([item(object_key=picture) for _ in range(20)]).batch_id
    request = batch_service_pb2.WatchBatchRequest(batch_id=batch_id).SerializeToString()
    messages, trailers = call(http, f"{site.batches}/WatchBatch", request, kind)
    watched = [batch_service_pb2.WatchBatchResponse.FromString(data) for data in messages]
    assert [result.sequence for message in watched for result in message.results] == list(range(1, 21))
    assert is_terminal(watched[-1].status)
    assert trailers == {"grpc-status": "0"}


def test_an_image(site: Site, http: httpx.Client, picture: str) -> None:
    request = image_service_pb2.DownloadImageRequest(object_key=picture).SerializeToString()
    messages, _ = call(http, f"{site.images}/DownloadImage", request)
    chunks = [image_service_pb2.DownloadImageResponse.FromString(data).chunk for data in messages[1:]]
    assert b"".join(chunks) == pictures.drawn()


@pytest.mark.parametrize("rpc", ["GetBatchStatus", "WatchBatch"])
def test_an_error_has_the_details_of_grpc(site: Site, http: httpx.Client, rpc: str) -> None:
    request = batch_service_pb2.GetBatchStatusRequest(batch_id=UNKNOWN).SerializeToString()
    messages, trailers = call(http, f"{site.batches}/{rpc}", request)
    assert (messages, trailers["grpc-status"]) == ([], "5")
    status = status_pb2.Status.FromString(base64.b64decode(trailers["grpc-status-details-bin"] + "=="))
    assert status.message == unquote(trailers["grpc-message"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "BATCH_NOT_FOUND"


def test_a_message_of_other_letters_is_escaped(site: Site, http: httpx.Client) -> None:
    request = batch_service_pb2.SubmitBatchRequest(
        options=batch_service_pb2.BatchOptions(operation="größe\n%"), items=[item(object_key="k")]
    )
    _, trailers = call(http, f"{site.batches}/SubmitBatch", request.SerializeToString())
    assert "gr%C3%B6%C3%9Fe" in trailers["grpc-message"]
    assert "größe" in unquote(trailers["grpc-message"])


def test_rpcs_that_take_streams_are_unimplemented(site: Site, http: httpx.Client) -> None:
    messages, trailers = call(http, f"{site.images}/UploadImage", b"")
    assert (messages, trailers["grpc-status"]) == ([], "12")


def test_messages_may_be_compressed(site: Site, http: httpx.Client) -> None:
    headers = {"content-type": KINDS[1], "grpc-encoding": "gzip", "grpc-accept-encoding": "gzip"}
    answer = http.post(f"{site.batches}/ListOperations", content=frame(gzip.compress(b""), 1), headers=headers)
    assert answer.headers["grpc-encoding"] == "gzip"
    assert answer.content[0] == 1
    (data,), _ = grpc_web(answer.content)
    assert batch_service_pb2.ListOperationsResponse.FromString(data).operations


@pytest.mark.parametrize(("timeout", "code"), [("200m", "4"), ("0S", "4"), ("1x", "3"), ("123456789S", "3")])
def test_a_call_ends_when_its_caller_stops_waiting(
    site: Site, http: httpx.Client, raw: Raw, picture: str, timeout: str, code: str
) -> None:
    batch_id = raw.submit([item(object_key=picture, metadata={"do": "sleep", "seconds": 20})]).batch_id
    request = batch_service_pb2.WatchBatchRequest(batch_id=batch_id).SerializeToString()
    _, trailers = call(http, f"{site.batches}/WatchBatch", request, **{"grpc-timeout": timeout})
    assert trailers["grpc-status"] == code
    raw.batches.CancelBatch(batch_service_pb2.CancelBatchRequest(batch_id=batch_id))


@pytest.mark.parametrize("body", [b"", b"\0\0\0", frame(b"")[:-1], frame(b"\x08") + frame(b"")])
def test_a_body_that_is_not_one_message_is_refused(site: Site, http: httpx.Client, body: bytes) -> None:
    answer = http.post(f"{site.batches}/GetServerInfo", content=body, headers={"content-type": KINDS[1]})
    _, trailers = grpc_web(answer.content)
    assert trailers["grpc-status"] == "3"
