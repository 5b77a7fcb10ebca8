"""PostgreSQL that is there and takes no work yet: starting up, in recovery, or a standby that can only be read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.faults.conftest import Tell
from tests.faults.logs import tracebacks
from tests.faults.stores import Store
from tests.integration.server.calls import Raw
from tests.postgres import PostgresServer, own_server
from tests.server import READY, ServerProcess

from imagebatch.v1 import batch_service_pb2

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with own_server() as running:
        yield running


@pytest.fixture
def store(postgres: PostgresServer, tmp_path: Path) -> Store:
    return Store("postgres", tmp_path / "data", postgres.create_database(), postgres)


def health(server: ServerProcess) -> int:
    """Ask for the server's health, until something answers."""
    with grpc.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer: int = stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=60).status
        return answer


@pytest.mark.parametrize("hot_standby", ["off", "on"])
def test_a_start_waits_for_a_standby_to_be_promoted(
    postgres: PostgresServer, store: Store, tell: Tell, hot_standby: str
) -> None:
    """Without hot_standby nobody may connect; with it one may read, and a server has to write."""
    postgres.stop()
    postgres.become_standby(hot_standby=hot_standby)
    server = ServerProcess(store.data_dir, {**store.settings, "start_patience_s": "120"})
    process = server.spawn()
    assert health(server) == health_pb2.HealthCheckResponse.NOT_SERVING
    assert "server.waits_for_store" in server.log
    why = next(line for line in server.log.splitlines() if "server.waits_for_store" in line)
    postgres.promote()
    assert process.stdout is not None
    assert any(READY in line for line in process.stdout)
    assert health(server) == health_pb2.HealthCheckResponse.SERVING
    raw = Raw(server.address)
    assert not raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest()).draining
    raw.close()
    assert server.stop() == 0
    assert tracebacks(server) == []
    tell(why[:300])


@pytest.mark.parametrize("hot_standby", ["off", "on"])
def test_patience_ends_in_one_line(postgres: PostgresServer, store: Store, tell: Tell, hot_standby: str) -> None:
    postgres.stop()
    postgres.become_standby(hot_standby=hot_standby)
    server = ServerProcess(store.data_dir, {**store.settings, "start_patience_s": "1"})
    server.spawn()
    assert server.wait() == 1
    last = server.log.strip().splitlines()[-1]
    assert last.startswith("imagebatch serve: the store is not available: ")
    assert tracebacks(server) == []
    tell(last)


@pytest.mark.parametrize("hot_standby", ["off", "on"])
def test_sigterm_ends_the_wait_at_once(postgres: PostgresServer, store: Store, tell: Tell, hot_standby: str) -> None:
    postgres.stop()
    postgres.become_standby(hot_standby=hot_standby)
    server = ServerProcess(store.data_dir, {**store.settings, "start_patience_s": "600"})
    server.spawn()
    assert health(server) == health_pb2.HealthCheckResponse.NOT_SERVING
    began = time.monotonic()
    server.terminate()
    assert server.wait() == 0
    took_s = time.monotonic() - began
    tell(f"ended {took_s:.1f} s after SIGTERM")
    assert took_s < 10, "of which the process itself takes the most on a busy machine"
    assert "server.stop_forced" not in server.log
    assert tracebacks(server) == []
