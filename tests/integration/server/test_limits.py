"""Whatever is more than the server takes is refused with the limit's name, its value, and how much there was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.server.calls import Raw, Refusal, item, refused
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.types_pb2 import BatchImageInput

MIB = 1024 * 1024
SETTINGS = {
    "max_items_per_submit": 3,
    "max_items_per_batch": 5,
    "max_running_batches": 1,
    "max_request_bytes": MIB,
    "max_image_bytes": 1_000,
    "max_waiting_items": 5,
    "max_stored_bytes": 4_000,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = {name: str(value) for name, value in SETTINGS.items()}
    with running_server(tmp_path_factory.mktemp("server") / "data", settings, OPERATIONS) as running:
        yield running


def good() -> BatchImageInput:
    return item(object_key="k")


def stream(raw: Raw, items: list[BatchImageInput]) -> Any:
    messages = [
        batch_service_pb2.SubmitBatchStreamRequest(options=batch_service_pb2.BatchOptions(operation="scripted")),
        *(
            batch_service_pb2.SubmitBatchStreamRequest(items=batch_service_pb2.BatchImageInputs(items=[one]))
            for one in items
        ),
    ]
    return raw.batches.SubmitBatchStream(iter(messages))


def assert_names(refusal: Refusal, limit: str, observed: int) -> None:
    """Read a limit that a setting sets."""
    assert refusal.reason == "LIMIT_EXCEEDED"
    assert refusal.metadata == {
        "limit": limit,
        "value": str(SETTINGS[limit]),
        "observed": str(observed),
        "setting": f"IMAGEBATCH_{limit.upper()}",
    }


def test_items_of_a_submit(raw: Raw) -> None:
    refusal = refused(lambda: raw.submit([good()] * 4))
    assert_names(refusal, "max_items_per_submit", 4)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refusal.violations) == ["items"]


def test_items_of_a_batch(raw: Raw) -> None:
    for refusal in (refused(lambda: raw.submit([good()] * 6)), refused(lambda: stream(raw, [good()] * 7))):
        assert_names(refusal, "max_items_per_batch", 6)
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert list(refusal.violations) == ["items"]


def test_bytes_of_a_request(raw: Raw) -> None:
    request = batch_service_pb2.ListBatchesRequest(page_token="x" * MIB)
    refusal = refused(lambda: raw.batches.ListBatches(request))
    assert_names(refusal, "max_request_bytes", request.ByteSize())
    assert (refusal.code, refusal.retry_delay_s) == (grpc.StatusCode.RESOURCE_EXHAUSTED, None)


def test_bytes_of_an_image(raw: Raw) -> None:
    refusal = refused(lambda: raw.upload(bytes(2_000), chunk_bytes=1_001))
    assert_names(refusal, "max_image_bytes", 1_001)
    assert (refusal.code, refusal.retry_delay_s) == (grpc.StatusCode.RESOURCE_EXHAUSTED, None)


def test_running_batches(raw: Raw, picture: str, tmp_path: Path) -> None:
    failed = raw.submit([good()])
    raw.watch_to_end(failed.batch_id)
    until = tmp_path / "until"
    running = raw.submit([item(object_key=picture, metadata={"do": "wait", "until": str(until)})])
    retry = batch_service_pb2.RetryBatchRequest(batch_id=failed.batch_id)
    refusals = [refused(lambda: raw.submit([good()])), refused(lambda: raw.batches.RetryBatch(retry))]
    until.touch()
    raw.watch_to_end(running.batch_id)
    for refusal in refusals:
        assert_names(refusal, "max_running_batches", 1)
        assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refusal.retry_delay_s is not None


@pytest.mark.parametrize(
    ("bad", "options", "field", "limit", "value", "observed"),
    [
        ({"metadata": {"text": "x" * 9_000}}, {}, "items[1].metadata", "max_metadata_bytes", 8_192, 9_015),
        (
            {"image_url": "https://a/" + "ä" * 8_200, "object_key": None}, {},
            "items[1].image_url", "max_image_url_characters", 8_192, 8_210,
        ),
        ({}, {"parameters": {"word": "x" * 70_000}}, "options.parameters", "max_parameters_bytes", 65_536, 70_018),
    ],
)  # fmt: skip
def test_a_field_that_is_too_large_names_the_limit(
    raw: Raw, bad: dict[str, Any], options: dict[str, Any], field: str, limit: str, value: int, observed: int
) -> None:
    refusal = refused(lambda: raw.submit([good(), item(**{"object_key": "k", **bad})], **options))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "LIMIT_EXCEEDED")
    assert list(refusal.violations) == [field]
    assert refusal.metadata == {"limit": limit, "value": str(value), "observed": str(observed)}
    with_another = refused(lambda: raw.submit([item(), item(**{"object_key": "k", **bad})], **options))
    assert (with_another.reason, set(with_another.violations)) == ("INVALID_REQUEST", {"items[0]", field})


def test_a_limit_is_named_by_a_stream_too(raw: Raw) -> None:
    requests = [
        batch_service_pb2.SubmitBatchStreamRequest(options=batch_service_pb2.BatchOptions(operation="scripted")),
        *(
            batch_service_pb2.SubmitBatchStreamRequest(items=batch_service_pb2.BatchImageInputs(items=[one]))
            for one in (good(), item(object_key="k", metadata={"text": "x" * 9_000}))
        ),
    ]
    refusal = refused(lambda: raw.batches.SubmitBatchStream(iter(requests)))
    assert (refusal.reason, list(refusal.violations)) == ("LIMIT_EXCEEDED", ["items[1].metadata"])
    assert refusal.metadata["limit"] == "max_metadata_bytes"


def test_bytes_that_are_stored(raw: Raw) -> None:
    found = refused(lambda: [raw.upload(bytes(900)) for _ in range(5)])
    assert (found.code, found.retry_delay_s) == (grpc.StatusCode.RESOURCE_EXHAUSTED, None)
    assert (found.reason, found.metadata["limit"], found.metadata["value"]) == (
        "LIMIT_EXCEEDED",
        "max_stored_bytes",
        "4000",
    )
    assert int(found.metadata["observed"]) > 4_000


def test_quotas_are_told(raw: Raw) -> None:
    limits = raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest()).limits
    assert (limits.max_running_batches, limits.max_waiting_items, limits.max_stored_bytes) == (1, 5, 4_000)
    assert (limits.max_requests_per_s, limits.max_requests_burst) == (0, 0)
