"""A Ray cluster whose children, agents, raylets and head are killed, whose nodes freeze and are cut off.

In the end nothing may be lost, doubled, reordered or counted wrongly, and no item may have been charged for what befell
those that ran it. Servers run on all the while, unless they are killed beside.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Connection, func, select
from tests.faults.conftest import Tell
from tests.faults.fleet import BLOWS, Fleet, events, fleet, postgres
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.faults.trouble import live_through
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item
from tests.object_servers import SeaweedServer
from tests.postgres import PostgresServer
from tests.ray_cluster import Network, RayCluster, RayNode, ray_cluster
from tests.server import REPOSITORY, ServerProcess, plugin

from imagebatch.v1 import types_pb2
from imagebatch_server.store.tables import outcomes

__all__ = ["postgres"]

pytestmark = [pytest.mark.ray, pytest.mark.postgres, pytest.mark.timeout(3 * 60 * 60)]

AWAY_S = 6.0
"""How long a node is frozen or cut off: until servers have given its items to others, and Ray has not given it up."""

ROUNDS = 3
"""Of each trouble in CI; `make soak` has ten times as many."""

NEIGHBOURS = 8
HEALING_S = 300.0

WITHOUT_FAULTS_OF_THEIR_OWN = ("tiny", "short", "failing", "quick", "slow", "repeating")


@pytest.fixture(scope="module")
def network() -> Iterator[Network | None]:
    """Give one node a network of its own, where the system lets us."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("iptables") is None:
        yield None
        return
    made = Network()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def bucket(network: Network | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """Run an object store that all nodes reach."""
    server = SeaweedServer(tmp_path_factory.mktemp("seaweed"), _host(network))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def cluster(
    network: Network | None, bucket: SeaweedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RayCluster]:
    folder = tmp_path_factory.mktemp("ray")
    paths = (str(plugin(folder / "operations", OPERATIONS)), str(REPOSITORY))
    environment = {**bucket.environment, "PYTHONPATH": os.pathsep.join(paths)}
    with ray_cluster(folder, environment, network) as running:
        yield running


@pytest.fixture
def servers(
    cluster: RayCluster,
    bucket: SeaweedServer,
    network: Network | None,
    postgres: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Fleet]:
    """Run two servers that share the cluster."""
    for name, value in {**bucket.environment, **cluster.secrets}.items():
        monkeypatch.setenv(name, value)
    store = Store("postgres", tmp_path, postgres.create_database(), postgres, bucket.url(tmp_path.name))
    settings = {"ray_address": cluster.address, "fetch_allowed_networks": "127.0.0.0/8,10.213.0.0/16"}
    with fleet(store, tmp_path, **settings) as made:
        for _ in range(2):
            made.add()
        yield made


class Blows:
    """What befalls the cluster; each ends once the cluster is whole again."""

    def __init__(self, cluster: RayCluster, servers: Fleet, chance: random.Random) -> None:
        self._cluster = cluster
        self._servers = servers
        self._chance = chance
        self.acts: dict[str, Callable[[], Awaitable[None]]] = {
            "agent killed": partial(self._killed, "ray::Agent"),
            "raylet killed": self._raylet_killed,
            "node killed": self._node_killed,
            "head killed": self._head_killed,
            "node frozen": self._frozen,
            "driver killed": self._driver_killed,
            "server killed": lambda: BLOWS["killed"](chance.choice(servers.servers)),
        }
        if cluster.network is not None:
            self.acts["node cut off"] = self._cut_off

    async def child_killed(self) -> None:
        await self._killed("executors.child")

    async def _killed(self, part: str) -> None:
        found = [process for node in self._cluster.nodes for process in node.named(part)]
        if found:
            _kill(self._chance.choice(found))

    async def _raylet_killed(self) -> None:
        node = self._any_node()
        for process in node.named("raylet/raylet")[:1]:
            _kill(process)
        await asyncio.sleep(self._chance.uniform(0, 2))
        await asyncio.to_thread(node.kill)

    async def _node_killed(self) -> None:
        await asyncio.to_thread(self._any_node().kill)

    async def _head_killed(self) -> None:
        for process in self._cluster.head.named("gcs_server"):
            _kill(process)
        await asyncio.sleep(self._chance.uniform(0, 2))
        await asyncio.to_thread(self._cluster.kill)

    async def _frozen(self) -> None:
        node = self._any_node()
        node.signal(signal.SIGSTOP)
        await asyncio.sleep(AWAY_S)
        node.signal(signal.SIGCONT)

    async def _cut_off(self) -> None:
        assert self._cluster.network is not None
        self._cluster.network.cut()
        await asyncio.sleep(AWAY_S)
        self._cluster.network.mend()

    async def _driver_killed(self) -> None:
        server = self._chance.choice(self._servers.servers)
        for process in psutil.Process(server.process.pid).children():
            if process.cmdline()[-1:] == ["driver"]:
                _kill(process)

    def _any_node(self) -> RayNode:
        return self._chance.choice(self._cluster.nodes)


def test_nothing_is_lost_doubled_or_charged_whatever_befalls_the_cluster(
    cluster: RayCluster, servers: Fleet, network: Network | None, tmp_path: Path, seed: int, scale: float, tell: Tell
) -> None:
    chance = random.Random(seed)
    blows = Blows(cluster, servers, chance)
    plan = [what for what in blows.acts for _ in range(round(ROUNDS * scale))]
    chance.shuffle(plan)
    tell("a Ray cluster of two nodes: " + ", ".join(f"{number} {what}" for what, number in Counter(plan).items()))
    if network is None:
        tell("no node was cut off: that needs root, ip and iptables")
    troubles = [_restoring(cluster, blows.acts[what]) for what in plan]
    pids = [server.process.pid for server in servers.servers]
    live_through(
        troubles, servers.servers, servers.store, tmp_path, seed, tell,
        kinds=WITHOUT_FAULTS_OF_THEIR_OWN, web_host=_host(network),
    )  # fmt: skip
    charged = servers.store.look(_charged)
    tell(f"{_lost(servers.servers)}; charged more than one attempt: {charged}")
    assert charged == 0
    killed = plan.count("server killed")
    assert sum(server.process.pid not in pids for server in servers.servers) <= killed, "a server ended by itself"


def test_a_child_that_is_killed_costs_no_more_than_without_a_cluster(
    cluster: RayCluster, servers: Fleet, network: Network | None, tmp_path: Path, seed: int, scale: float, tell: Tell
) -> None:
    blows = Blows(cluster, servers, random.Random(seed))
    rounds = round(ROUNDS * scale)
    tell(f"a Ray cluster of two nodes: {rounds} children killed")
    troubles = [blows.child_killed] * rounds
    live_through(troubles, servers.servers, servers.store, tmp_path, seed, tell, web_host=_host(network))


def test_an_item_that_kills_its_agent_each_time_pays_and_nobody_else(servers: Fleet, tell: Tell) -> None:
    first, second = (Raw(server.address) for server in servers.servers)
    picture = first.upload(pictures.drawn()).object_key
    asleep = [item(object_key=picture, metadata={"do": "sleep", "seconds": 0.2}) for _ in range(NEIGHBOURS)]
    killer = item(object_key=picture, metadata={"do": "parricide"})

    beside = second.submit(asleep, operation="troubled").batch_id
    batch = first.submit([*asleep, killer, *asleep], operation="troubled", max_attempts=2).batch_id
    results = {result.item_index: result for result in _ended(first, batch)}
    paid = results.pop(NEIGHBOURS)
    assert (paid.error_code, paid.attempts) == (types_pb2.ITEM_ERROR_CODE_WORKER_CRASHED, 2), paid
    others = [*results.values(), *_ended(second, beside)]
    assert {(result.error_code, result.attempts) for result in others} == {(0, 1)}
    assert len(others) == 3 * NEIGHBOURS
    tell(f"an item of two attempts: {_lost(servers.servers)}; {len(others)} others succeeded at once")
    for raw in (first, second):
        raw.close()


def _ended(raw: Raw, batch_id: str) -> Sequence[types_pb2.BatchItemResult]:
    """Wait for the end, however often agents have to come up again before."""
    eventually(lambda: raw.status(batch_id).HasField("completed_at"), patience_s=HEALING_S)
    return raw.watch_to_end(batch_id).results


def _restoring(cluster: RayCluster, act: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Start what did not survive, too: a node that Ray gave up ends by itself."""

    async def trouble() -> None:
        await act()
        await asyncio.to_thread(cluster.start)

    return trouble


def _host(network: Network | None) -> str:
    return "127.0.0.1" if network is None else network.host


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _charged(connection: Connection) -> int:
    return connection.execute(select(func.count()).where(outcomes.c.attempts > 1)).scalar_one()


def _lost(servers: Sequence[ServerProcess]) -> str:
    lost = [event for server in servers for event in events(server, "ray.node_lost")]
    away = [event for server in servers for event in events(server, "ray.away")]
    items = sum(event["items"] for event in lost)
    return f"{len(lost)} times a node was lost, with {items} items; {len(away)} times a driver ended"
