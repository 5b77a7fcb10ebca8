"""PostgreSQL gone for a while, hanging, or away at the start: clear answers, nothing lost, work resumes by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.faults.backends import backends
from tests.faults.calls import PASSING
from tests.faults.conftest import Tell
from tests.faults.logs import tracebacks
from tests.faults.operations import OPERATIONS
from tests.faults.proxy import proxied
from tests.faults.stores import Store
from tests.faults.trouble import answers, assert_unavailable, live_through
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.postgres import PostgresServer, own_server
from tests.server import READY, ServerProcess, running_server

from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(600)]

GONE_S = 8.0
HANGS_S = 8.0
LONGEST_HANG_S = 45.0


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with own_server() as running:
        yield running


@pytest.fixture
def store(postgres: PostgresServer, tmp_path: Path) -> Store:
    return Store("postgres", tmp_path / "data", postgres.create_database(), postgres)


@pytest.fixture
def server(store: Store) -> Iterator[ServerProcess]:
    settings = {"stop_grace_s": "2", **store.settings}
    with running_server(store.data_dir, settings, operations=OPERATIONS) as running:
        yield running


def test_work_goes_on_after_postgres_was_gone(
    store: Store, postgres: PostgresServer, server: ServerProcess, tmp_path: Path, seed: int, tell: Tell
) -> None:
    async def trouble() -> None:
        await asyncio.to_thread(postgres.stop)
        await asyncio.sleep(GONE_S)
        await asyncio.to_thread(postgres.start)

    tell(f"PostgreSQL was stopped for {GONE_S:g} s")
    live_through([trouble], [server], store, tmp_path, seed, tell)


def test_work_goes_on_after_postgres_hung(
    store: Store, postgres: PostgresServer, server: ServerProcess, tmp_path: Path, seed: int, scale: float, tell: Tell
) -> None:
    hangs_s = min(HANGS_S * scale, LONGEST_HANG_S)  # past 30 s, calls are answered UNAVAILABLE

    async def trouble() -> None:
        stopped = backends(store)
        for backend in stopped:
            backend.suspend()
        await asyncio.sleep(hangs_s)
        for backend in stopped:
            backend.resume()
        assert stopped
        tell(f"{len(stopped)} backends of PostgreSQL hung for {hangs_s:g} s")

    live_through([trouble], [server], store, tmp_path, seed, tell)


def test_what_is_answered_while_postgres_is_gone(postgres: PostgresServer, server: ServerProcess, tell: Tell) -> None:
    raw = Raw(server.address)
    picture = raw.upload(pictures.drawn()).object_key
    batch_id = raw.submit([item(object_key=picture)]).batch_id
    raw.watch_to_end(batch_id)
    postgres.stop()
    began = time.monotonic()
    got = answers(raw, batch_id, picture)
    took_s = time.monotonic() - began
    messages = {assert_unavailable(answer) for answer in got.values()}
    assert took_s < 5
    assert not any("PGSQL" in message for message in messages), "where the database is, is the operator's business"
    postgres.start()
    assert [name for name, answer in answers(raw, batch_id, picture).items() if answer] == [
        "DeleteBatch"
    ]  # of no batch
    assert tracebacks(server) == []
    tell(f"{len(got)} kinds of calls answered UNAVAILABLE within {took_s:.1f} s: {sorted(messages)}")
    raw.close()


def test_a_server_that_starts_without_postgres_says_so(postgres: PostgresServer, store: Store, tell: Tell) -> None:
    postgres.stop()
    server = ServerProcess(store.data_dir, {**store.settings, "start_patience_s": "1"})
    server.spawn()
    assert server.wait() == 1
    assert tracebacks(server) == []
    last = server.log.strip().splitlines()[-1]
    assert last.startswith("imagebatch serve: the store is not available")
    tell(last)


def health(server: ServerProcess) -> int:
    """Ask for the server's health, until something answers."""
    with grpc.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer: int = stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=60).status
        return answer


def test_a_start_waits_for_postgres(postgres: PostgresServer, store: Store, tell: Tell) -> None:
    postgres.stop_immediate()
    server = ServerProcess(store.data_dir, {**store.settings, "start_patience_s": "120"}, OPERATIONS)
    process = server.spawn()
    assert health(server) == health_pb2.HealthCheckResponse.NOT_SERVING
    assert "server.waits_for_store" in server.log
    postgres.start()
    assert process.stdout is not None
    assert any(READY in line for line in process.stdout)
    assert health(server) == health_pb2.HealthCheckResponse.SERVING
    raw = Raw(server.address)
    batch_id = raw.submit([item(object_key=raw.upload(pictures.drawn()).object_key)], "noop").batch_id
    raw.watch_to_end(batch_id)
    raw.close()
    assert server.stop() == 0
    assert tracebacks(server) == []
    tell("the start waited, health said NOT_SERVING, and the server came up with PostgreSQL")


def test_a_wrong_database_is_not_waited_for(store: Store, tell: Tell) -> None:
    missing = store.url.replace("/test_", "/missing_")
    server = ServerProcess(store.data_dir, {**store.settings, "database_url": missing})
    began = time.monotonic()
    server.spawn()
    assert server.wait() == 1
    assert time.monotonic() - began < 30
    assert "does not exist" in server.log.strip().splitlines()[-1]


def test_work_goes_on_while_connections_stay_silent(store: Store, server: ServerProcess, raw: Raw, tell: Tell) -> None:
    """They are given up, and opened anew; the others of PostgreSQL work."""
    picture = raw.upload(pictures.drawn()).object_key
    silent = backends(store)
    for backend in silent:
        backend.suspend()
    try:
        began = time.monotonic()
        batch_id = submit_patiently(raw, picture)
        assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
        tell(f"{len(silent)} connections went silent; a batch ended {time.monotonic() - began:.0f} s later")
        assert "database.connection_silent" in server.log
    finally:
        for backend in silent:
            with suppress(psutil.NoSuchProcess):
                backend.resume()
    assert tracebacks(server) == []


def test_work_goes_on_behind_a_box_that_drops_packets(postgres: PostgresServer, store: Store, tell: Tell) -> None:
    with proxied(postgres, store.url) as (proxy, url):
        settings = {**store.settings, "database_url": url}
        with running_server(store.data_dir, settings, operations=OPERATIONS) as server:
            raw = Raw(server.address)
            picture = raw.upload(pictures.drawn()).object_key
            proxy.silence()
            began = time.monotonic()
            batch_id = submit_patiently(raw, picture)
            assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
            tell(f"every connection was dropped without a word; a batch ended {time.monotonic() - began:.0f} s later")
            raw.close()
            assert tracebacks(server) == []


def submit_patiently(raw: Raw, picture: str) -> str:
    """Submit until it is answered, as a client does."""
    while True:
        try:
            return raw.submit([item(object_key=picture)] * 5, "noop", request_id="patient").batch_id
        except grpc.RpcError as error:
            if cast("grpc.Call", error).code() not in PASSING:
                raise
