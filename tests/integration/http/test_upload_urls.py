"""CreateUploadUrl: a place that is promised, and filled once, with what was promised."""

from __future__ import annotations

import hashlib
import socket
import threading
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import pytest
from tests.integration.http.conftest import Site, secret
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, blobs, eventually, item, refused

from imagebatch.v1 import image_service_pb2, types_pb2
from imagebatch_client import AsyncBatchClient, BatchClient

DATA = pictures.drawn(3)


@pytest.fixture
def promised(raw: Raw) -> image_service_pb2.CreateUploadUrlResponse:
    return promise(raw)


def promise(raw: Raw, data: bytes = DATA, content_type: str = "image/png") -> image_service_pb2.CreateUploadUrlResponse:
    request = image_service_pb2.CreateUploadUrlRequest(
        content_type=content_type, file_name="three.png", size_bytes=len(data)
    )
    return raw.images.CreateUploadUrl(request)


def run(raw: Raw, object_key: str) -> types_pb2.BatchItemResult:
    (result,) = raw.watch_to_end(raw.submit([item(object_key=object_key)]).batch_id).results
    return result


def test_an_image_that_was_put_is_one_like_any_other(
    site: Site, http: httpx.Client, raw: Raw, promised: image_service_pb2.CreateUploadUrlResponse
) -> None:
    assert promised.url.startswith(f"{site.url}/uploads/default/{promised.object_key}?")
    assert promised.expires_at.ToSeconds() > 0
    answer = http.put(promised.url, content=DATA, headers=dict(promised.headers))
    assert (answer.status_code, answer.headers["etag"]) == (201, f'"{hashlib.sha256(DATA).hexdigest()}"')
    header, data = raw.download(promised.object_key)
    assert data == DATA
    assert (header.content_type, header.file_name) == ("image/png", "three.png")
    assert (header.size_bytes, header.sha256) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    result = run(raw, promised.object_key)
    assert result.status == types_pb2.BATCH_ITEM_STATUS_SUCCESS
    assert result.image_sha256 == header.sha256
    assert http.get(result.stored_image_url).content == DATA


def test_a_second_put_is_a_conflict(
    http: httpx.Client, raw: Raw, promised: image_service_pb2.CreateUploadUrlResponse
) -> None:
    other = pictures.drawn(4)[: len(DATA)].ljust(len(DATA), b"x")
    assert http.put(promised.url, content=DATA, headers=dict(promised.headers)).status_code == 201
    answer = http.put(promised.url, content=other, headers=dict(promised.headers))
    assert answer.status_code == 409
    assert "is uploaded already; ask CreateUploadUrl for another one" in answer.text
    assert raw.download(promised.object_key)[1] == DATA


def test_what_was_not_uploaded_is_not_there(
    site: Site, http: httpx.Client, raw: Raw, promised: image_service_pb2.CreateUploadUrlResponse
) -> None:
    refusal = refused(lambda: raw.download(promised.object_key))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "OBJECT_NOT_FOUND")
    result = run(raw, promised.object_key)
    assert result.error_code == types_pb2.ITEM_ERROR_CODE_OBJECT_NOT_FOUND
    assert not result.HasField("stored_image_url")


@pytest.mark.parametrize(
    ("body", "changed", "status"),
    [
        (DATA + b"x", {}, 400),
        (DATA[:-1], {}, 400),
        (DATA, {"content-type": "image/svg+xml"}, 415),
        (DATA, {"content-type": ""}, 415),
    ],
)
def test_another_size_or_type_leaves_nothing(
    site: Site,
    http: httpx.Client,
    raw: Raw,
    promised: image_service_pb2.CreateUploadUrlResponse,
    body: bytes,
    changed: dict[str, str],
    status: int,
) -> None:
    before = blobs(site.server)
    answer = http.put(promised.url, content=body, headers={**promised.headers, **changed})
    assert answer.status_code == status, answer.text
    assert blobs(site.server) == before
    assert http.put(promised.url, content=DATA, headers=dict(promised.headers)).status_code == 201


def test_without_a_length_it_is_refused(
    http: httpx.Client, promised: image_service_pb2.CreateUploadUrlResponse
) -> None:
    answer = http.put(promised.url, content=iter([DATA]), headers=dict(promised.headers))
    assert answer.status_code == 411


def test_an_upload_that_breaks_off_leaves_nothing_and_can_be_repeated(
    site: Site, http: httpx.Client, promised: image_service_pb2.CreateUploadUrlResponse
) -> None:
    before = blobs(site.server)
    send_half(promised)
    eventually(lambda: blobs(site.server) == before)
    assert http.put(promised.url, content=DATA, headers=dict(promised.headers)).status_code == 201


def send_half(promised: image_service_pb2.CreateUploadUrlResponse) -> None:
    parts = urlsplit(promised.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
        head = (
            f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: image/png\r\nContent-Length: {len(DATA)}\r\n\r\n"
        )
        connection.sendall(head.encode() + DATA[: len(DATA) // 2])


def test_of_many_at_once_one_wins(
    http: httpx.Client, raw: Raw, promised: image_service_pb2.CreateUploadUrlResponse
) -> None:
    answers: list[int] = []

    def put() -> None:
        answers.append(
            httpx.put(promised.url, content=DATA, headers=dict(promised.headers), trust_env=False).status_code
        )

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201, *[409] * 7]
    assert raw.download(promised.object_key)[1] == DATA


def test_an_empty_image_and_one_without_a_type(http: httpx.Client, raw: Raw) -> None:
    promised = promise(raw, b"", "")
    assert dict(promised.headers) == {"content-type": "application/octet-stream"}
    assert http.put(promised.url, content=b"", headers=dict(promised.headers)).status_code == 201
    header, data = raw.download(promised.object_key)
    assert (header.content_type, data) == ("", b"")


def test_a_url_that_was_changed_permits_nothing(
    site: Site, http: httpx.Client, promised: image_service_pb2.CreateUploadUrlResponse
) -> None:
    bigger = promised.url.replace(f"size={len(DATA)}", f"size={len(DATA) + 1}")
    assert http.put(bigger, content=DATA + b"x", headers=dict(promised.headers)).status_code == 403
    other = promised.url.replace("/uploads/default/", "/uploads/acme/")
    assert http.put(other, content=DATA, headers=dict(promised.headers)).status_code == 403
    assert http.get(promised.url.replace("/uploads/", "/images/")).status_code == 403
    assert http.get(promised.url).status_code == 405


def test_no_image_larger_than_the_servers_limit_is_promised(raw: Raw) -> None:
    request = image_service_pb2.CreateUploadUrlRequest(content_type="image/png", size_bytes=2**40)
    refusal = refused(lambda: raw.images.CreateUploadUrl(request))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
    assert refusal.metadata["limit"] == "max_image_bytes"


def test_it_works_over_http_alone_and_for_writers_only(guarded: Site, http: httpx.Client) -> None:
    def create(name: str) -> Any:
        request = {"contentType": "image/png", "sizeBytes": str(len(DATA))}
        headers = {"authorization": f"Bearer {secret(name)}"}
        return http.post(f"{guarded.images}/CreateUploadUrl", json=request, headers=headers)

    assert create("reader").json()["code"] == "permission_denied"
    promised = create("writer").json()
    assert "/uploads/acme/" in promised["url"]
    assert http.put(promised["url"], content=DATA, headers=promised["headers"]).status_code == 201


def test_the_client_asks_for_urls(site: Site, http: httpx.Client) -> None:
    with BatchClient(site.server.address) as client:
        promised = client.create_upload_url(len(DATA), "image/png", "three.png")
        assert http.put(promised.url, content=DATA, headers=promised.headers).status_code == 201
        assert client.download_image(promised.object_key).file_name == "three.png"


async def test_so_does_the_asynchronous_one(site: Site) -> None:
    async with AsyncBatchClient(site.server.address) as client:
        promised = await client.create_upload_url(len(DATA))
    assert promised.headers == {"content-type": "application/octet-stream"}
    assert promised.expires_at > datetime.now(UTC)
