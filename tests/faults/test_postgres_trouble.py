"""PostgreSQL gone for a while, hanging, or away at the start: clear answers, nothing lost, work resumes by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.backends import backends
from tests.faults.conftest import Tell
from tests.faults.logs import tracebacks
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.faults.trouble import answers, assert_unavailable, live_through
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.postgres import PostgresServer, own_server
from tests.server import ServerProcess, running_server

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
    live_through(trouble, server, store, tmp_path, seed, tell)


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

    live_through(trouble, server, store, tmp_path, seed, tell)


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
    server = ServerProcess(store.data_dir, store.settings)
    server.spawn()
    assert server.wait() == 1
    assert tracebacks(server) == []
    last = server.log.strip().splitlines()[-1]
    assert last.startswith("imagebatch serve: the store is not available")
    tell(last)
