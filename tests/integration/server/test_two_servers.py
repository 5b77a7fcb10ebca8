"""Two servers that share database and bucket: each answers the same, and what one is asked the owner does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import grpc
import httpx
import pytest
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item, refused, watched
from tests.object_servers import SeaweedServer, seaweed
from tests.operations_for_tests import OPERATIONS
from tests.postgres import session_server
from tests.server import free_port, running_server

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.types_pb2 import (
    BATCH_STATUS_CANCELLED,
    BATCH_STATUS_COMPLETED,
    BATCH_STATUS_FAILED,
    WAITING_REASON_BACKOFF,
    WAITING_REASON_PAUSED,
)

__all__ = ["seaweed"]

pytestmark = pytest.mark.postgres

METRICS = [f"127.0.0.1:{free_port()}" for _ in range(2)]

POLL_S = 5.0
"""What news is lost of is found after so long; so whatever is there much sooner was told."""


@pytest.fixture(scope="module")
def raws(seaweed: SeaweedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Raw]]:
    """Reach both servers."""
    folder = tmp_path_factory.mktemp("servers")
    with ExitStack() as opened:
        patch = opened.enter_context(pytest.MonkeyPatch.context())
        for name, value in seaweed.environment.items():
            patch.setenv(name, value)
        postgres = opened.enter_context(session_server(tmp_path_factory))
        settings = {"database_url": postgres.create_database(), "object_store_url": seaweed.url("of-two")}
        raws = []
        for number in range(2):
            own = settings | {"metrics_address": METRICS[number]}
            server = opened.enter_context(running_server(folder / f"data-{number}", own, OPERATIONS))
            raws.append(Raw(server.address))
            opened.callback(raws[-1].close)
        yield raws


@pytest.fixture(scope="module")
def picture(raws: list[Raw]) -> str:
    return raws[0].upload(pictures.drawn(), content_type="image/png").object_key


def submit_gated(raw: Raw, picture: str, gate: Path, count: int) -> str:
    """Submit items that wait until the gate is there."""
    waits = item(object_key=picture, metadata={"do": "wait", "until": str(gate)})
    return raw.submit([waits] * count).batch_id


def sequences(results: Any) -> list[int]:
    return [result.sequence for result in results]


@pytest.mark.parametrize("at", [0, 1])
def test_a_batch_is_seen_whole_through_both(raws: list[Raw], picture: str, tmp_path: Path, at: int) -> None:
    batch_id = submit_gated(raws[at], picture, tmp_path / "gate", 20)
    calls = [raw.watch(batch_id) for raw in raws]
    for call in calls:
        next(call)  # where the batch is
    (tmp_path / "gate").touch()
    seen = [watched(call) for call in calls]
    for one in seen:
        assert sequences(one.results) == list(range(1, 21))
        assert one.statuses[-1].status == BATCH_STATUS_COMPLETED
    assert raws[0].status(batch_id) == raws[1].status(batch_id)
    page, same = (raw.page(batch_id).results for raw in raws)
    for result in (*page, *same):
        assert result.stored_image_url
        result.ClearField("stored_image_url")  # signed anew for each who asks
    assert page == same


def test_an_outcome_is_told_of_and_not_found_by_chance(raws: list[Raw], picture: str) -> None:
    batch_id = (
        raws[0].submit([item(object_key=picture, metadata={"do": "sleep", "seconds": 0.03})] * 60, "scripted").batch_id
    )

    def times(raw: Raw) -> dict[int, float]:
        return {result.sequence: monotonic() for message in raw.watch(batch_id) for result in message.results}

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(times, raws)
    assert sorted(one) == sorted(other) == list(range(1, 61))
    assert median(abs(one[sequence] - other[sequence]) for sequence in one) < POLL_S / 10


@pytest.mark.parametrize("at", [0, 1])
def test_a_batch_is_cancelled_through_either(raws: list[Raw], picture: str, tmp_path: Path, at: int) -> None:
    batch_id = submit_gated(raws[0], picture, tmp_path / "gate", 20)
    call = raws[at].watch(batch_id)
    next(call)
    raws[at].batches.CancelBatch(batch_service_pb2.CancelBatchRequest(batch_id=batch_id))
    eventually(lambda: raws[1 - at].status(batch_id).skipped_items >= 15)
    (tmp_path / "gate").touch()
    seen = watched(call)
    assert seen.statuses[-1].status == BATCH_STATUS_CANCELLED
    assert sequences(seen.results) == list(range(1, 21))


def test_a_batch_is_retried_and_deleted_through_either(raws: list[Raw], picture: str) -> None:
    fails = item(object_key=picture, metadata={"do": "fail", "code": "decode_failed", "message": "no"})
    batch_id = raws[0].submit([fails] * 3).batch_id
    assert raws[1].watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_FAILED
    for raw, other in (raws, raws[::-1]):
        raw.batches.RetryBatch(batch_service_pb2.RetryBatchRequest(batch_id=batch_id))
        seen = other.watch_to_end(batch_id)
        assert len(seen.results) == 3
        assert seen.statuses[-1].status == BATCH_STATUS_FAILED
    raws[1].batches.DeleteBatch(batch_service_pb2.DeleteBatchRequest(batch_id=batch_id))
    for raw in raws:
        assert refused(lambda raw=raw: raw.status(batch_id)).code == grpc.StatusCode.NOT_FOUND  # type: ignore[misc]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.usefixtures("raws")
def test_a_server_tells_operators_how_it_stands(number: int) -> None:
    def figures() -> dict[str, str]:
        lines = httpx.get(f"http://{METRICS[number]}/metrics", timeout=20.0, trust_env=False).text.splitlines()
        figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: figures[f"imagebatch_{name}"] for name in ("live_servers", "lease_held", "hears_others")}

    eventually(lambda: figures() == {"live_servers": "2.0", "lease_held": "1.0", "hears_others": "1.0"})


def test_both_tell_why_a_batch_waits_and_what_failed(raws: list[Raw]) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    items = [item(image_url=f"http://{nobody}/{number}") for number in range(2)]
    batch_id = raws[0].submit([*items, item(object_key="gone")]).batch_id

    def told(raw: Raw) -> tuple[int, str]:
        waiting = raw.status(batch_id).waiting
        return waiting.reason, waiting.detail

    backoff = (WAITING_REASON_BACKOFF, "2 items wait for another attempt")
    eventually(lambda: [told(raw) for raw in raws] == [backoff] * 2)
    request = batch_service_pb2.ListFailureClustersRequest(batch_id=batch_id)
    assert raws[0].batches.ListFailureClusters(request) == raws[1].batches.ListFailureClusters(request)
    paused = raws[1].batches.PauseBatch(batch_service_pb2.PauseBatchRequest(batch_id=batch_id))
    assert [told(raw) for raw in raws] == [(WAITING_REASON_PAUSED, "")] * 2
    assert not paused.HasField("waiting"), "GetBatchStatus alone tells"
    raws[0].batches.CancelBatch(batch_service_pb2.CancelBatchRequest(batch_id=batch_id))
    ended = watched(raws[1].watch(batch_id)).statuses[-1]
    assert ended.failed_items == 1
    assert not raws[0].status(batch_id).HasField("waiting")
