"""SIGTERM with work in flight: said to watchers and health checks, nothing lost. Servers that can't start say why."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, Refusal, eventually, item, refusal, refused
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.types_pb2 import (
    BATCH_ITEM_STATUS_PENDING,
    BATCH_ITEM_STATUS_PROCESSING,
    BATCH_STATUS_COMPLETED,
    BATCH_STATUS_PROCESSING,
)

SERVICE = "imagebatch.v1.BatchService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNFINISHED = {BATCH_ITEM_STATUS_PENDING, BATCH_ITEM_STATUS_PROCESSING}


class InFlight:
    """A server with one batch of two items; the first is being worked on and waits for the file `gate`."""

    def __init__(self, folder: Path, server: ServerProcess) -> None:
        self.server = server
        self.gate = folder / "gate"
        self.raw = Raw(server.address)
        begun = folder / "begun"
        waits = {"do": "wait", "until": str(self.gate), "begun": str(begun)}
        image = pictures.data_url(pictures.drawn())
        self.batch_id = self.raw.submit(
            [item(image_base64=image, metadata=waits), item(image_base64=image)], max_attempts=1
        ).batch_id
        self.watch = self.raw.watch(self.batch_id)
        self.first = next(self.watch)  # comes when the watch stands
        eventually(begun.exists)
        eventually(lambda: self.raw.status(self.batch_id).status == BATCH_STATUS_PROCESSING)


@contextmanager
def in_flight_on_a_server(folder: Path, grace_s: int) -> Iterator[InFlight]:
    with running_server(folder / "data", {"stop_grace_s": str(grace_s)}, OPERATIONS) as server:
        running = InFlight(folder, server)
        yield running
        running.gate.touch()
        running.raw.close()


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[InFlight]:
    """On a server that gives work in flight more time to end than it will need."""
    with in_flight_on_a_server(tmp_path, grace_s=25) as running:
        yield running


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[InFlight]:
    """On a server that gives work in flight too little time to end."""
    with in_flight_on_a_server(tmp_path, grace_s=1) as running:
        yield running


def test_work_in_flight_may_end_and_is_recorded(patient: InFlight) -> None:
    with grpc.insecure_channel(patient.server.address) as channel:
        health: queue.Queue[Any] = queue.Queue()
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its types leave the methods out
        watched = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=30)
        reader = threading.Thread(target=read_into, args=(health, watched))
        reader.start()
        assert health.get(timeout=10).status == SERVING
        patient.server.terminate()
        assert health.get(timeout=10).status == NOT_SERVING

        raw = patient.raw
        assert raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest()).draining
        assert raw.status(patient.batch_id).status == BATCH_STATUS_PROCESSING, "reads go on"
        late = refused(lambda: raw.submit([item(object_key="k")]))
        assert (late.code, late.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert late.retry_delay_s == 1.0

        patient.gate.touch()
        messages, cut = read_all(patient.watch)
        results = [result for message in messages for result in message.results]
        assert cut.code is grpc.StatusCode.UNAVAILABLE
        reader.join()
    assert patient.server.wait() == 0
    assert [result.item_index for result in results] in ([0], [0, 1]), "the worker may have had the second one too"


def test_what_does_not_end_stays_pending_and_runs_after_a_restart(impatient: InFlight) -> None:
    server, batch_id = impatient.server, impatient.batch_id
    server.terminate()
    _, cut = read_all(impatient.watch)
    assert (cut.code, cut.reason, cut.retry_delay_s) == (grpc.StatusCode.UNAVAILABLE, "DRAINING", 1.0)
    assert server.wait() == 0
    impatient.raw.close()

    server.start()
    raw = impatient.raw = Raw(server.address)
    assert {result.status for result in raw.page(batch_id).results} <= UNFINISHED
    impatient.gate.touch()
    watched = raw.watch_to_end(batch_id)
    assert sorted(result.item_index for result in watched.results) == [0, 1]
    assert watched.statuses[-1].status == BATCH_STATUS_COMPLETED


def read_all(messages: Any) -> tuple[list[Any], Refusal]:
    """Everything that a stream sent before it was ended by an error."""
    received: list[Any] = []
    try:
        received.extend(messages)
    except grpc.RpcError as error:
        return received, refusal(error)
    raise AssertionError("the stream ended well")


def read_into(into: queue.Queue[Any], messages: Any) -> None:
    try:
        for message in messages:
            into.put(message)
    except grpc.RpcError as error:
        into.put(error)


def test_an_idle_server_stops_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        assert server.stop(timeout_s=20) == 0, "it does not wait for the time that work in flight would be given"


def test_a_second_server_on_the_data_folder_says_who_has_it(server: ServerProcess, tmp_path: Path) -> None:
    second = ServerProcess(tmp_path / "second", {"data_dir": str(server.data_dir)})
    second.spawn()
    assert second.wait() == 1
    assert f"the data folder {server.data_dir} is in use by process {server.process.pid}" in second.log
    assert "--data-dir" in second.log
    assert "Traceback" not in second.log


def test_a_port_in_use_is_named(server: ServerProcess, tmp_path: Path) -> None:
    second = ServerProcess(tmp_path / "second", {"address": server.address})
    second.spawn()
    assert second.wait() == 1
    assert f"can't listen on {server.address}: Address already in use" in second.log
    assert "Traceback" not in second.log


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", {"workers": "none"})
    server.spawn()
    assert server.wait() == 2
    assert "--workers (IMAGEBATCH_WORKERS)" in server.log
    assert "Traceback" not in server.log


def test_a_server_that_is_to_warm_what_it_does_not_have_says_so_and_ends(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", {"warm_operations": "noop,nosuch"}, OPERATIONS)
    server.spawn()
    assert server.wait() == 1
    last = server.log.splitlines()[-1]
    assert last.startswith("imagebatch serve: --warm-operations: no operation is called 'nosuch'; this server has ")
    assert "Traceback" not in server.log
