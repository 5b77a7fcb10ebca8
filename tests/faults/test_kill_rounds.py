"""kill -9 of the server, of workers and of PostgreSQL, at random moments, again and again, while batches run.

Clients are never restarted: they repeat what was not answered and resume their watches. In the end nothing may be lost,
doubled, reordered or counted wrongly.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.faults.batches import Maker
from tests.faults.conftest import Tell
from tests.faults.load import Load
from tests.faults.logs import tracebacks
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.integration.server import pictures, web
from tests.integration.server.calls import Raw
from tests.server import ServerProcess, running_server

ROUNDS = {
    "sqlite": {"server": 10, "server, twice": 2, "worker": 4, "all workers": 1},
    "postgres": {
        "server": 6, "server, twice": 2, "worker": 3, "all workers": 1, "postgres": 4, "postgres and server": 2,
    },
}  # fmt: skip
AT_ONCE = 4
PROGRESS = 20
"""Outcomes that watchers see, after one kill, before the next may come."""


@pytest.fixture
def server(store: Store) -> Iterator[ServerProcess]:
    settings = {"workers": "2", **store.settings}
    with running_server(store.data_dir, settings, operations=OPERATIONS) as running:
        yield running


class Killer:
    """Kills, and starts again what does not start by itself."""

    def __init__(self, server: ServerProcess, store: Store, chance: random.Random) -> None:
        self._server = server
        self._store = store
        self._chance = chance
        self.kills: Counter[str] = Counter()
        self.acts: dict[str, Callable[[], Awaitable[None]]] = {
            "server": self._server_once,
            "server, twice": self._server_while_it_starts,
            "worker": self._worker,
            "all workers": self._all_workers,
            "postgres": self._postgres,
            "postgres and server": self._postgres_and_server,
        }

    async def _server_once(self) -> None:
        self._kill_server()
        await asyncio.to_thread(self._server.start)

    async def _server_while_it_starts(self) -> None:
        self._kill_server()
        self._server.spawn()
        await asyncio.sleep(self._chance.uniform(0, 2.5))
        self._kill_server()
        await asyncio.to_thread(self._server.start)

    async def _worker(self) -> None:
        if workers := self._workers():
            self._kill_worker(self._chance.choice(workers))

    async def _all_workers(self) -> None:
        for worker in self._workers():
            self._kill_worker(worker)

    async def _postgres(self) -> None:
        await self._stop_postgres()
        await asyncio.sleep(self._chance.uniform(0, 1.5))
        await self._start_postgres()

    async def _postgres_and_server(self) -> None:
        await self._stop_postgres()
        await asyncio.sleep(self._chance.uniform(0, 0.2))
        self._kill_server()
        await self._start_postgres()
        await asyncio.to_thread(self._server.start)

    def _kill_server(self) -> None:
        self._server.kill()
        self.kills["server"] += 1

    def _workers(self) -> list[psutil.Process]:
        return psutil.Process(self._server.process.pid).children()

    def _kill_worker(self, worker: psutil.Process) -> None:
        os.kill(worker.pid, signal.SIGKILL)
        self.kills["worker"] += 1

    async def _stop_postgres(self) -> None:
        assert self._store.postgres is not None
        await asyncio.to_thread(self._store.postgres.stop_immediate)
        self.kills["postgres"] += 1

    async def _start_postgres(self) -> None:
        assert self._store.postgres is not None
        await asyncio.to_thread(self._store.postgres.start)


@pytest.mark.timeout(3 * 60 * 60)
def test_nothing_is_lost_whatever_is_killed(
    store: Store, server: ServerProcess, tmp_path: Path, seed: int, scale: float, tell: Tell
) -> None:
    chance = random.Random(seed)
    plan = [what for what, rounds in ROUNDS[store.kind].items() for _ in range(round(rounds * scale))]
    chance.shuffle(plan)
    markers = tmp_path / "markers"
    markers.mkdir()
    raw = Raw(server.address)
    picture = raw.upload(pictures.drawn()).object_key
    raw.close()

    async def scenario(host: str) -> tuple[Load, Counter[str], Counter[str]]:
        load = Load(server.address, Maker(chance, markers, picture, host), chance, AT_ONCE)
        killer = Killer(server, store, chance)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run())
            for what in plan:
                await load.seen_more(PROGRESS)
                await asyncio.sleep(chance.uniform(0, 0.7))
                await killer.acts[what]()
            load.finish()
        ends = await load.judge(store)
        await load.close()
        return load, killer.kills, ends

    with web.serving() as host:
        load, kills, ends = asyncio.run(scenario(host.url))

    resumed = server.log.count('"ownership.batch_taken_over"')
    batches = load.batches
    tell(f"{len(plan)} rounds: " + ", ".join(f"{number} of {what}" for what, number in Counter(plan).most_common()))
    tell("killed: " + ", ".join(f"{what} {number} times" for what, number in kills.most_common()))
    tell(
        f"{len(batches)} batches, {sum(ends.values())} outcomes, {load.outcomes_seen} seen by watchers; "
        f"{load.repeats} submits repeated, {sum(batch.cancelled for batch in batches)} batches cancelled, "
        f"{load.pauses} pauses, {sum(batch.retries for batch in batches)} retries, "
        f"{resumed} times a batch was taken over"
    )
    tell(
        f"{sum(batch.by_stream for batch in batches)} submitted by stream, "
        f"{sum(batch.deleted for batch in batches)} deleted, "
        f"{sum(not batch.answers for batch in batches)} submits that nobody waited for"
    )
    tell("ends: " + ", ".join(f"{kind} {number}" for kind, number in ends.most_common()))
    tell(f"defects: {len(load.defects)}")
    assert load.defects == []
    assert resumed, "kills came while batches were running"
    assert tracebacks(server) == []
