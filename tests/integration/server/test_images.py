"""Uploads and downloads: any bytes, whole or not at all."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, blobs, item, plain, refused
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, running_server

from imagebatch.v1.image_service_pb2 import (
    CreateUploadUrlRequest,
    DownloadImageRequest,
    UploadImageHeader,
    UploadImageRequest,
)
from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED

MIB = 1024 * 1024
MAX_IMAGE_BYTES = 4 * MIB

HEADER = UploadImageRequest(header=UploadImageHeader())
CHUNK = UploadImageRequest(chunk=b"abc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = {"max_image_bytes": str(MAX_IMAGE_BYTES)}
    with running_server(tmp_path_factory.mktemp("server") / "data", settings, operations=OPERATIONS) as running:
        yield running


@pytest.mark.parametrize(
    "data",
    [b"", b"x", pictures.drawn(), random.Random(7).randbytes(3 * MIB), bytes(MAX_IMAGE_BYTES)],
    ids=["empty", "one byte", "picture", "3 MiB", "as much as is taken"],
)
@pytest.mark.parametrize("chunk_bytes", [64 * 1024, MIB])
def test_what_was_uploaded_comes_back(raw: Raw, data: bytes, chunk_bytes: int) -> None:
    stored = raw.upload(data, chunk_bytes=chunk_bytes, file_name="../../etc/passwd", content_type="image/odd")
    assert (stored.size_bytes, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    header, content = raw.download(stored.object_key)
    assert content == data
    assert (header.file_name, header.content_type) == ("../../etc/passwd", "image/odd")
    assert (header.size_bytes, header.sha256) == (stored.size_bytes, stored.sha256)


def test_content_that_is_there_is_not_sent_again(raw: Raw, server: ServerProcess) -> None:
    data = pictures.drawn(image_format="JPEG", size=(90, 50))
    header: Any = {"sha256": hashlib.sha256(data).hexdigest(), "content_type": "image/jpeg"}
    first = raw.upload(data, **header, file_name="a.jpg")
    before = blobs(server)
    assert raw.upload(b"", **header, file_name="b.jpg") == first
    assert raw.upload(data, **header) == first
    assert blobs(server) == before
    assert (first.width, first.height, first.format) == (90, 50, "jpeg")
    assert raw.upload(data, content_type="image/jpeg").object_key != first.object_key, "only who knows it, reuses it"


def test_the_same_content_of_another_type_is_another_object(raw: Raw) -> None:
    data = b"declared as two things"
    header: Any = {"sha256": hashlib.sha256(data).hexdigest()}
    first = raw.upload(data, **header, content_type="image/png")
    assert "header.sha256" in refused(lambda: raw.upload(b"", **header, content_type="image/webp")).violations
    assert raw.upload(data, **header, content_type="image/webp").object_key != first.object_key


@pytest.mark.parametrize("data", [b"", b"other bytes"], ids=["not there", "other bytes"])
def test_bytes_that_are_not_what_their_digest_says_leave_nothing(raw: Raw, server: ServerProcess, data: bytes) -> None:
    before = blobs(server)
    refusal = refused(lambda: raw.upload(data, sha256="0" * 64))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert blobs(server) == before


def test_the_header_of_the_file_is_read(raw: Raw) -> None:
    stored = raw.upload(pictures.drawn(image_format="JPEG", size=(80, 60)), content_type="image/png")
    assert (stored.format, stored.width, stored.height) == ("jpeg", 80, 60)
    unknown = raw.upload(b"no picture")
    assert not any(unknown.HasField(field) for field in ("format", "width", "height"))


@pytest.mark.parametrize("at_hand", [True, False], ids=["at hand", "read from the store"])
def test_an_operation_is_told_the_type_that_an_upload_was_declared_to_have(raw: Raw, at_hand: bool) -> None:
    data = pictures.drawn(image_format="JPEG")
    typed = raw.upload(data, content_type="image/png").object_key
    untyped = raw.upload(data).object_key
    # The first items of a batch are handed over; a canary's are read.
    batch_id = raw.submit([item(object_key=key) for key in (typed, untyped)], canary=None if at_hand else 2).batch_id
    results = raw.watch_to_end(batch_id).results
    told = {result.item_index: plain(result.output_data).get("declared_type") for result in results}
    assert told == {0: "image/png", 1: None}


def test_every_upload_has_a_key_of_its_own(raw: Raw) -> None:
    keys = {raw.upload(b"the same").object_key for _ in range(3)}
    assert len(keys) == 3
    assert all(len(key) <= 255 and "/" not in key for key in keys)


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "header"),
        ([CHUNK], "header"),
        ([CHUNK, HEADER], "header"),
        ([HEADER, CHUNK, HEADER], "header"),
        ([HEADER, UploadImageRequest()], "payload"),
        ([HEADER, UploadImageRequest(chunk=bytes(MIB + 1))], "chunk"),
        ([UploadImageRequest(header=UploadImageHeader(file_name="n" * 256))], "header.file_name"),
    ],
    ids=["nothing", "no header", "late header", "two headers", "empty message", "large chunk", "long name"],
)
def test_a_wrong_stream_is_refused_and_leaves_nothing(
    raw: Raw, server: ServerProcess, messages: list[UploadImageRequest], field: str
) -> None:
    before = blobs(server)
    refusal = refused(lambda: raw.images.UploadImage(iter(messages)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert list(refusal.violations) == [field]
    assert blobs(server) == before


def test_an_image_that_is_too_large_is_refused_and_leaves_nothing(raw: Raw, server: ServerProcess) -> None:
    before = blobs(server)
    refusal = refused(lambda: raw.upload(bytes(MAX_IMAGE_BYTES + 1)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
    assert refusal.metadata["limit"] == "max_image_bytes"
    assert refusal.metadata["setting"] == "IMAGEBATCH_MAX_IMAGE_BYTES"
    assert refusal.retry_delay_s is None, "it would be no smaller later"
    assert str(MAX_IMAGE_BYTES) in refusal.message
    assert blobs(server) == before


@pytest.mark.parametrize("key", ["default.nothing", "../../../etc/passwd", "default/../x", "ключ"])
def test_a_key_that_names_nothing_is_not_found(raw: Raw, key: str) -> None:
    refusal = refused(lambda: list(raw.images.DownloadImage(DownloadImageRequest(object_key=key))))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "OBJECT_NOT_FOUND")
    assert refusal.metadata == {"object_key": key}


def test_an_empty_key_is_refused(raw: Raw) -> None:
    refusal = refused(lambda: list(raw.images.DownloadImage(DownloadImageRequest())))
    assert (refusal.code, list(refusal.violations)) == (grpc.StatusCode.INVALID_ARGUMENT, ["object_key"])


def test_a_store_that_signs_no_urls_says_what_to_do(raw: Raw) -> None:
    refusal = refused(lambda: raw.images.CreateUploadUrl(CreateUploadUrlRequest()))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_SUPPORTED")
    assert refusal.metadata == {"feature": "CreateUploadUrl"}
    assert "UploadImage" in refusal.message


def test_what_an_operation_stores_can_be_downloaded(raw: Raw) -> None:
    data = pictures.drawn(5)
    submitted = raw.submit([item(image_base64=pictures.data_url(data))], operation="storing")
    watched = raw.watch_to_end(submitted.batch_id)
    assert watched.statuses[-1].status == BATCH_STATUS_COMPLETED
    (result,) = watched.results
    header, content = raw.download(result.stored_object_key)
    assert (content, header.content_type) == (data, "image/png")
    assert result.stored_image_url.startswith("file://")
    assert Path(result.stored_image_url.removeprefix("file://")).read_bytes() == data
