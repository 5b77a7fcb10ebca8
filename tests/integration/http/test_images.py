"""Images by signed URLs: what browsers and caches ask for, and what nobody is permitted."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import PIL.Image
import pytest
from tests.integration.http.conftest import Site, secret
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item

from imagebatch.v1.batch_service_pb2 import GetServerInfoRequest, RetryBatchRequest

SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


@pytest.fixture(scope="module")
def url(site: Site, picture: str) -> str:
    """Answer the URL of an uploaded picture, as a result of an operation that stores none tells it."""
    return stored(site, picture)


def stored(site: Site, object_key: str) -> str:
    client = Raw(site.server.address)
    (result,) = client.watch_to_end(client.submit([item(object_key=object_key)]).batch_id).results
    client.close()
    return result.stored_image_url


def uploaded(site: Site, data: bytes, *, content_type: str = "", file_name: str = "") -> str:
    client = Raw(site.server.address)
    key = client.upload(data, content_type=content_type, file_name=file_name).object_key
    client.close()
    return stored(site, key)


def test_a_browser_is_shown_the_picture(site: Site, http: httpx.Client, url: str) -> None:
    assert url.startswith(f"{site.url}/images/default/default.")
    answer = http.get(url)
    assert (answer.status_code, answer.content) == (200, pictures.drawn())
    headers = answer.headers
    assert headers["content-type"] == "image/png"
    assert headers["etag"] == f'"{hashlib.sha256(pictures.drawn()).hexdigest()}"'
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"].startswith("private, max-age=3")
    assert headers["content-disposition"] == "inline; filename*=UTF-8''drawn.png"
    head = http.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", headers["content-length"])


@pytest.mark.parametrize(
    ("asked", "part", "content_range"),
    [
        ("bytes=0-7", slice(0, 8), "bytes 0-7/{}"),
        ("bytes=-10", slice(-10, None), None),
        ("bytes=100-", slice(100, None), None),
    ],
)
def test_a_part_of_it(http: httpx.Client, url: str, asked: str, part: slice, content_range: str | None) -> None:
    answer = http.get(url, headers={"range": asked})
    assert (answer.status_code, answer.content) == (206, pictures.drawn()[part])
    if content_range is not None:
        assert answer.headers["content-range"] == content_range.format(len(pictures.drawn()))


def test_a_part_that_is_not_there(http: httpx.Client, url: str) -> None:
    answer = http.get(url, headers={"range": "bytes=999999-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(pictures.drawn())}")


def test_what_a_cache_has_is_not_sent_again(http: httpx.Client, url: str) -> None:
    etag = http.get(url).headers["etag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = http.get(url, headers={"if-none-match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert http.get(url, headers={"if-none-match": '"other"'}).status_code == 200
    assert http.get(url, headers={"range": "bytes=0-0", "if-range": '"other"'}).status_code == 200
    assert http.get(url, headers={"range": "bytes=0-0", "if-range": etag}).status_code == 206


@pytest.mark.parametrize("declared", ["image/png", "text/html", "image/svg+xml", ""])
def test_what_is_no_picture_is_for_the_disk_and_may_do_nothing(site: Site, http: httpx.Client, declared: str) -> None:
    answer = http.get(uploaded(site, SVG, content_type=declared, file_name='a";b\r\n.svg'))
    assert (answer.status_code, answer.content) == (200, SVG)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a%22%3Bb%0D%0A.svg"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_the_content_decides_the_type(site: Site, http: httpx.Client) -> None:
    assert (
        http.get(uploaded(site, pictures.noisy("JPEG"), content_type="text/html")).headers["content-type"]
        == "image/jpeg"
    )


def test_results_and_inline_images_have_urls_too(site: Site, http: httpx.Client, raw: Raw) -> None:
    inline = item(image_base64=pictures.data_url(pictures.drawn(7)))
    (kept,) = raw.watch_to_end(raw.submit([inline]).batch_id).results
    assert http.get(kept.stored_image_url).content == pictures.drawn(7)
    (made,) = raw.watch_to_end(raw.submit([inline], operation="thumbnail").batch_id).results
    answer = http.get(made.stored_image_url)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert made.stored_object_key in made.stored_image_url
    (missing,) = raw.watch_to_end(raw.submit([item(object_key="default." + "0" * 32)]).batch_id).results
    assert not missing.HasField("stored_image_url")


def test_a_large_image_is_sent_piece_by_piece(site: Site, http: httpx.Client) -> None:
    data = pictures.noisy("BMP", (2000, 2000))
    assert http.get(uploaded(site, data)).content == data
    part = http.get(uploaded(site, data), headers={"range": "bytes=5000000-9999999"})
    assert part.content == data[5_000_000:10_000_000]


def changed(url: str) -> Iterator[str]:
    """Make other URLs of one that is good: other in each part of it."""
    parts = urlsplit(url)
    key = parts.path.split("/")[-1]
    yield url.replace("/images/default/", "/images/acme/")
    yield url.replace(key, f"{key[:-1]}{'0' if key[-1] != '0' else '1'}")
    yield url.replace("/images/", "/uploads/")
    for name, values in parse_qs(parts.query).items():
        yield url.replace(f"{name}={values[0]}", f"{name}={values[0][:-1]}{'A' if values[0][-1] != 'A' else 'B'}")
        yield url.replace(f"{name}={values[0]}", "")
    yield f"{url}&more=1"
    yield f"{parts.scheme}://{parts.netloc}{parts.path}"


def test_a_url_that_was_changed_permits_nothing(http: httpx.Client, url: str) -> None:
    for other in changed(url):
        method = "PUT" if "/uploads/" in other else "GET"
        answer = http.request(method, other)
        assert answer.status_code == 403, other
        assert "ask for a new one" in answer.text
        assert answer.headers["cache-control"] == "no-store"


def test_an_image_is_only_read(http: httpx.Client, url: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = http.request(method, url)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_an_image_that_was_swept_is_gone(site: Site, http: httpx.Client) -> None:
    url = uploaded(site, b"soon gone")
    key = urlsplit(url).path.split("/")[-1]
    (blob,) = (site.server.data_dir / "objects").rglob(key)
    blob.unlink()
    answer = http.get(url)
    assert answer.status_code == 404
    assert "does not exist" in answer.text


def test_nobody_gets_a_url_of_another_tenants_image(guarded: Site, http: httpx.Client) -> None:
    def call(name: str, rpc: str, request: object) -> httpx.Response:
        headers = {"authorization": f"Bearer {secret(name)}"}
        return http.post(f"{guarded.batches}/{rpc}", json=request, headers=headers)

    def results(name: str, given: dict[str, str]) -> dict[str, object]:
        request = {"options": {"operation": "scripted"}, "items": [given]}
        batch = {"batchId": call(name, "SubmitBatch", request).json()["batchId"]}
        while "completedAt" not in call(name, "GetBatchStatus", batch).json():
            pass
        (result,) = call(name, "GetBatchResults", batch).json()["results"]
        return dict(result)

    own = results("writer", {"imageBase64": pictures.data_url(pictures.drawn())})
    url = str(own["storedImageUrl"])
    assert http.get(url).content == pictures.drawn()
    assert "/images/acme/acme." in url
    key = urlsplit(url).path.rpartition("/")[2]
    theirs = results("other", {"objectKey": key})
    assert theirs["errorCode"] == "ITEM_ERROR_CODE_OBJECT_NOT_FOUND"
    assert "storedImageUrl" not in theirs
    assert http.get(url.replace("/images/acme/", "/images/rival/")).status_code == 403


def test_a_query_that_nobody_makes_is_refused_and_no_failure_of_ours(site: Site, http: httpx.Client, url: str) -> None:
    more = "&".join(f"p{number}=" for number in range(40))
    assert http.get(f"{url}&{more}").status_code == 403
    assert http.get(f"{url[: url.index('signature=')]}signature=%C3%A9").status_code == 403
    assert http.get(f"{site.batches}/ListBatches?{more}").status_code == 415
    assert "http.failed" not in site.server.log


def test_a_preview_is_shown_of_each_picture_and_goes_with_its_outcome(site: Site, http: httpx.Client, raw: Raw) -> None:
    large = pictures.noisy("JPEG", (640, 320))
    key = raw.upload(large).object_key
    batch_id = raw.submit([item(object_key=key), item(object_key=key, metadata={"failure": "permanent"})], "decoding")
    results = raw.watch_to_end(batch_id.batch_id).results
    paged = raw.page(batch_id.batch_id).results
    for result in (*results, *paged):
        answer = http.get(result.preview_url)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        with PIL.Image.open(io.BytesIO(answer.content)) as preview:
            assert (preview.format, preview.size) == ("JPEG", (256, 128))
    first, second = (urlsplit(paged[index].preview_url).path for index in (0, 1))
    assert first != second

    raw.batches.RetryBatch(RetryBatchRequest(batch_id=batch_id.batch_id))
    raw.watch_to_end(batch_id.batch_id)
    again = raw.page(batch_id.batch_id).results
    assert urlsplit(again[0].preview_url).path == first, "its outcome stood"
    assert urlsplit(again[1].preview_url).path not in (first, second)
    assert http.get(again[1].preview_url).status_code == 200


def test_what_was_not_decoded_has_no_preview(raw: Raw) -> None:
    bad = raw.upload(b"\x89PNG\r\n\x1a\n").object_key
    for operation, key in (("noop", raw.upload(pictures.drawn()).object_key), ("decoding", bad)):
        (result,) = raw.watch_to_end(raw.submit([item(object_key=key)], operation).batch_id).results
        assert not result.HasField("preview_url")
    assert "previews" in raw.batches.GetServerInfo(GetServerInfoRequest()).features
