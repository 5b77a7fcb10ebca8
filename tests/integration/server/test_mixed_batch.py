"""Good pictures among everything that can be wrong with one: each fails alone, with its code and a remedy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.protobuf.duration_pb2 import Duration
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.integration.server.web import Web
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, running_server

from imagebatch.v1 import types_pb2
from imagebatch.v1.types_pb2 import (
    BATCH_ITEM_STATUS_FAILED,
    BATCH_ITEM_STATUS_SUCCESS,
    BATCH_STATUS_PARTIALLY_COMPLETED,
    ITEM_ERROR_CODE_DECODE_FAILED,
    ITEM_ERROR_CODE_FETCH_FAILED,
    ITEM_ERROR_CODE_FETCH_FORBIDDEN,
    ITEM_ERROR_CODE_OBJECT_NOT_FOUND,
    ITEM_ERROR_CODE_TIMEOUT,
    ITEM_ERROR_CODE_UNSPECIFIED,
    ITEM_ERROR_CODE_UNSUPPORTED_FORMAT,
    BatchItemResult,
)

ITEM_TIMEOUT_S = 4

# By item_id: the code, and words that the message must have: what it is about, and what a person can do.
EXPECTED = {
    "png": (ITEM_ERROR_CODE_UNSPECIFIED, ()),
    "jpeg": (ITEM_ERROR_CODE_UNSPECIFIED, ()),
    "base64": (ITEM_ERROR_CODE_UNSPECIFIED, ()),
    "url": (ITEM_ERROR_CODE_UNSPECIFIED, ()),
    "text.jpg": (ITEM_ERROR_CODE_UNSUPPORTED_FORMAT, ("looks like text", "accepted are JPEG")),
    "truncated.jpg": (ITEM_ERROR_CODE_DECODE_FAILED, ("JPEG can't be decoded", "check that it is whole")),
    "empty.jpg": (ITEM_ERROR_CODE_UNSUPPORTED_FORMAT, ("the file is empty", "accepted are JPEG")),
    "missing": (ITEM_ERROR_CODE_OBJECT_NOT_FOUND, ("default.nothing", "upload it again")),
    "404": (ITEM_ERROR_CODE_FETCH_FAILED, ("status 404", "check that the URL is right")),
    "hanging": (ITEM_ERROR_CODE_TIMEOUT, ("within 4 s", "try a faster host or upload it")),
    "metadata service": (ITEM_ERROR_CODE_FETCH_FORBIDDEN, ("169.254.169.254", "upload the image")),
    "private network": (ITEM_ERROR_CODE_FETCH_FORBIDDEN, ("10.0.0.1", "upload the image")),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = {"log_level": "debug"}  # which must not show more of a URL either
    with running_server(tmp_path_factory.mktemp("server") / "data", settings, OPERATIONS) as running:
        yield running


def batch(raw: Raw, host: Web) -> list[types_pb2.BatchImageInput]:
    uploads = {
        "png": pictures.drawn(1),
        "jpeg": pictures.drawn(2, "JPEG"),
        "text.jpg": b"Dear diary, today I was renamed.\n" * 20,
        "truncated.jpg": pictures.jpeg_without_pixels(),
        "empty.jpg": b"",
    }
    inputs: dict[str, types_pb2.BatchImageInput] = {
        name: item(object_key=raw.upload(data, file_name=name, content_type="image/jpeg").object_key)
        for name, data in uploads.items()
    }
    inputs["base64"] = item(image_base64=pictures.data_url(pictures.drawn(3)))
    inputs["missing"] = item(object_key="default.nothing")
    urls = {
        "url": f"{host.url}/picture",
        "404": f"{host.url}/status/404?signature=hushhush",
        "hanging": f"{host.url}/hang?signature=hushhush",
        "metadata service": "http://169.254.169.254/latest/meta-data?signature=hushhush",
        "private network": "http://10.0.0.1/picture.jpg",
    }
    inputs |= {name: item(image_url=url) for name, url in urls.items()}
    for name, one in inputs.items():
        one.item_id = name.replace(" ", "-")
    return [inputs[name] for name in EXPECTED]


def test_each_item_has_its_own_outcome(raw: Raw, host: Web, server: ServerProcess) -> None:
    submitted = raw.submit(
        batch(raw, host), operation="describe", max_attempts=1, item_timeout=Duration(seconds=ITEM_TIMEOUT_S)
    )
    watched = raw.watch_to_end(submitted.batch_id)
    results = {result.item_index: result for result in watched.results}
    assert sorted(results) == list(range(len(EXPECTED)))
    for index, (name, (code, words)) in enumerate(EXPECTED.items()):
        assert_outcome(name, results[index], code, words)

    last = watched.statuses[-1]
    assert last.status == BATCH_STATUS_PARTIALLY_COMPLETED
    assert (last.successful_items, last.failed_items, last.processed_items) == (4, 8, 12)
    assert dict(last.failure_counts) == {
        "unsupported_format": 2, "decode_failed": 1, "object_not_found": 1, "fetch_failed": 1, "timeout": 1,
        "fetch_forbidden": 2,
    }  # fmt: skip
    assert "hushhush" not in server.log, "a query string may be a password"


def assert_outcome(name: str, result: BatchItemResult, code: int, words: tuple[str, ...]) -> None:
    assert result.error_code == code, (name, result)
    if code == ITEM_ERROR_CODE_UNSPECIFIED:
        assert result.status == BATCH_ITEM_STATUS_SUCCESS
        assert result.output_data["description"]
        assert len(result.image_sha256) == 64
        return
    assert result.status == BATCH_ITEM_STATUS_FAILED
    assert not result.HasField("output_data")
    assert [word for word in words if word not in result.error_message] == [], (name, result.error_message)
    assert "hushhush" not in result.error_message
    assert result.attempts == 1


def test_transient_failures_are_attempted_again_and_permanent_ones_are_not(raw: Raw, host: Web) -> None:
    urls = [f"{host.url}/status/{status}?{status}" for status in (503, 404)]
    submitted = raw.submit([item(image_url=url) for url in urls], max_attempts=2)
    watched = raw.watch_to_end(submitted.batch_id)
    attempts = {result.item_index: result.attempts for result in watched.results}
    assert attempts == {0: 2, 1: 1}
    assert [host.requested.count(f"/status/{status}?{status}") for status in (503, 404)] == [2, 1]
