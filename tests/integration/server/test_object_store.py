"""A whole server whose images are in a bucket, and whose tenants may read of others."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item, refused
from tests.object_servers import SeaweedServer, seaweed
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2, image_service_pb2
from imagebatch.v1.types_pb2 import (
    BATCH_STATUS_COMPLETED,
    ITEM_ERROR_CODE_DUPLICATE,
    ITEM_ERROR_CODE_FETCH_FORBIDDEN,
)
from imagebatch_server.objects.bucket import open_bucket

__all__ = ["seaweed"]


@pytest.fixture(scope="module")
def server(seaweed: SeaweedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "tenants.toml").write_text(
        '[default]\nread_buckets = ["s3://photos/catalogue", "s3://tests"]\n'
        'write_buckets = ["s3://photos/thumbnails"]\n'
    )
    settings = {"object_store_url": seaweed.url("images"), "tenants_file": str(folder / "tenants.toml")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in seaweed.environment.items():
            patch.setenv(name, value)
        with running_server(folder / "data", settings) as running:
            yield running


def test_images_are_stored_run_and_served_from_the_bucket(server: ServerProcess, raw: Raw) -> None:
    picture = pictures.drawn()
    uploaded = raw.upload(picture, content_type="image/png").object_key
    inline = item(image_base64=pictures.data_url(picture))
    batch_id = raw.submit([item(object_key=uploaded), inline], operation="thumbnail").batch_id
    assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
    assert raw.download(uploaded)[1] == picture
    for result in raw.page(batch_id).results:
        with urllib.request.urlopen(result.stored_image_url) as answer:
            assert answer.headers["Content-Type"].startswith("image/")
            assert answer.read() == raw.download(result.stored_object_key)[1]
    assert not list(Path(server.data_dir).glob("objects"))


def test_an_image_that_is_in_an_opened_bucket_is_read_and_no_other(raw: Raw) -> None:
    photos = open_bucket("s3://photos")
    photos.put("catalogue/one.png", pictures.drawn(), attributes={"Content-Type": "image/png"})
    photos.put("private/two.png", pictures.drawn())
    urls = ["s3://photos/catalogue/one.png", "s3://photos/private/two.png", "s3://tests/images/store-id"]
    batch_id = raw.submit([item(image_url=url) for url in urls], operation="thumbnail").batch_id
    raw.watch_to_end(batch_id)
    one, two, own = raw.page(batch_id).results
    assert one.image_sha256
    assert [result.error_code for result in (two, own)] == [ITEM_ERROR_CODE_FETCH_FORBIDDEN] * 2
    info = raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest())
    assert "bucket_urls" in info.features


def test_results_go_to_an_opened_prefix(raw: Raw) -> None:
    given = [item(image_base64=pictures.data_url(pictures.drawn())) for _ in range(3)]
    prefix = "s3://photos/thumbnails/of-today"
    batch_id = raw.submit(given, operation="thumbnail", output_prefix=prefix).batch_id
    assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
    listed = [entry for page in open_bucket(f"{prefix}/{batch_id}").list() for entry in page]
    assert sorted(entry["path"].partition(".")[0] for entry in listed) == ["0", "1", "2"]
    assert all(not result.stored_object_key for result in raw.page(batch_id).results)
    refusal = refused(lambda: raw.submit(given, operation="thumbnail", output_prefix="s3://photos/catalogue"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert "not open to your tenant" in refusal.message


def test_an_image_is_uploaded_to_the_bucket_by_a_signed_url(raw: Raw) -> None:
    picture, keys = pictures.drawn(), []
    for _ in range(3):
        asked = image_service_pb2.CreateUploadUrlRequest(content_type="image/png", size_bytes=len(picture))
        promised = raw.images.CreateUploadUrl(asked)
        keys.append(promised.object_key)
        assert refused(lambda: raw.download(keys[-1])).reason == "OBJECT_NOT_FOUND"
        put = urllib.request.Request(promised.url, picture, dict(promised.headers), method="PUT")
        with urllib.request.urlopen(put) as answer:
            assert answer.status == 200
    batch_id = raw.submit([item(object_key=keys[0])], operation="thumbnail").batch_id
    (ran,) = raw.watch_to_end(batch_id).results
    assert ran.image_sha256 == hashlib.sha256(picture).hexdigest()
    header, data = raw.download(keys[1])
    assert (data, header.content_type, header.sha256) == (picture, "image/png", ran.image_sha256)
    both = [item(object_key=keys[0]), item(object_key=keys[2])]
    batch_id = raw.submit(both, operation="thumbnail", skip_duplicates=True).batch_id
    raw.watch_to_end(batch_id)
    assert raw.page(batch_id).results[1].error_code == ITEM_ERROR_CODE_DUPLICATE
    info = raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest())
    assert "create_upload_url" in info.features


@pytest.fixture(autouse=True)
def _as_the_server(seaweed: SeaweedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in seaweed.environment.items():
        monkeypatch.setenv(name, value)
