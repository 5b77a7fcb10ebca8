"""Several servers on one PostgreSQL, with their images in one bucket."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.faults.logs import tracebacks
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.object_servers import SeaweedServer, seaweed
from tests.postgres import PostgresServer, own_server
from tests.server import ServerProcess

from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED

__all__ = [
    "BLOWS", "Fleet", "assert_whole", "events", "fleet", "moves", "postgres", "seaweed", "servers", "shared_store",
    "submit",
]  # fmt: skip


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL that the tests of a file share."""
    with own_server() as server:
        yield server


@pytest.fixture
def shared_store(
    postgres: PostgresServer, seaweed: SeaweedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Store:
    """Provide an empty database and an empty bucket, which several servers can work on."""
    for name, value in seaweed.environment.items():
        monkeypatch.setenv(name, value)
    return Store("postgres", tmp_path, postgres.create_database(), postgres, seaweed.url(tmp_path.name))


class Fleet:
    """Servers that start and end one by one; those that are left are stopped at the end."""

    def __init__(self, store: Store, folder: Path, settings: Mapping[str, str]) -> None:
        self.store = store
        self.servers: list[ServerProcess] = []
        self._folder = folder
        self._settings = {**store.settings, "stop_grace_s": "10", **settings}

    def make(self, within: Sequence[str] = (), **settings: str) -> ServerProcess:
        """Make one more server, which is not started."""
        folder = self._folder / f"server-{len(self.servers)}"
        self.servers.append(ServerProcess(folder, {**self._settings, **settings}, OPERATIONS, within))
        return self.servers[-1]

    def add(self, within: Sequence[str] = (), **settings: str) -> ServerProcess:
        """Start one more server."""
        server = self.make(within, **settings)
        server.start()
        return server

    def close(self) -> None:
        """Stop those that run, the frozen too."""
        for server in self.servers:
            if server.is_running:
                server.process.send_signal(signal.SIGCONT)
                server.kill()


@contextmanager
def fleet(store: Store, folder: Path, **settings: str) -> Iterator[Fleet]:
    """Have servers on a store while the block runs."""
    made = Fleet(store, folder, settings)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def servers(shared_store: Store, tmp_path: Path) -> Iterator[Fleet]:
    with fleet(shared_store, tmp_path) as made:
        yield made
        assert [line for server in made.servers for line in tracebacks(server)] == []


def submit(raw: Raw, count: int, seconds: float) -> str:
    """Make a batch of items that take so long each."""
    picture = raw.upload(pictures.drawn()).object_key
    return raw.submit([item(object_key=picture, metadata={"do": "sleep", "seconds": seconds})] * count).batch_id


def assert_whole(servers: Fleet, through: ServerProcess, batch_id: str, count: int) -> None:
    """Watch the batch to its end through one server, and look at what is stored."""
    raw = Raw(through.address)
    watched = raw.watch_to_end(batch_id)
    raw.close()
    assert watched.statuses[-1].status == BATCH_STATUS_COMPLETED
    assert [result.sequence for result in watched.results] == list(range(1, count + 1))
    audit, rows = servers.store.read([batch_id])[batch_id]
    assert (audit, len(rows)) == ([], count)


FROZEN_S = 5.0
"""Longer than a lease. Callers of the frozen server wait for it meanwhile, so that progress can't be waited for."""


async def killed(server: ServerProcess) -> None:
    server.kill()
    await asyncio.to_thread(server.start)


async def frozen(server: ServerProcess) -> None:
    server.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(FROZEN_S)
    server.process.send_signal(signal.SIGCONT)


async def stopped(server: ServerProcess) -> None:
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)


BLOWS: dict[str, Callable[[ServerProcess], Awaitable[None]]] = {
    "killed": killed, "frozen": frozen, "stopped": stopped,
}  # fmt: skip


def events(server: ServerProcess, name: str) -> Sequence[Mapping[str, Any]]:
    """List what a server has logged under a name."""
    lines = [json.loads(line) for line in server.log.splitlines() if f'"{name}"' in line]
    return [line for line in lines if line["event"] == name]


def moves(servers: Sequence[ServerProcess]) -> str:
    """Tell how often batches changed their owner."""
    taken = sum(len(events(server, "ownership.batch_taken_over")) for server in servers)
    given = sum(len(events(server, "batch.handed_over")) for server in servers)
    return f"{taken} times a batch was taken over, {given} handed over"
