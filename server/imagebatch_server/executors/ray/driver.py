"""The driver: a child of the server that is part of the Ray cluster, so that the server is not.

Ray ends a driver's process when the cluster's head is lost. What the nodes had then goes out again, and the server
starts another driver.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from imagebatch_server.backoff import Backoff
from imagebatch_server.executors.protocol.cluster import (
    Beat,
    Connected,
    Drop,
    Give,
    Heard,
    NodeLost,
    NodeRefused,
    NodeUp,
    NotConnected,
    StartDriver,
    encode,
)
from imagebatch_server.executors.protocol.frames import frame, read_to_driver
from imagebatch_server.executors.protocol.messages import Message
from imagebatch_server.executors.ray.agent import Agent, Refusal

_READ_BYTES = 256 * 1024
_BEAT_S = 1.0
_LOOK_S = 0.5
"""Time between looks at which nodes there are."""

_ANSWER_S = 4.0
"""How long a node may take to answer; it does within a second, when it is well."""

_OPEN_S = 60.0
"""How long an agent may take to come up."""

_REFUSED_S = 30.0
"""Time until a node that was refused is tried again."""


def serve(channel: socket.socket, start: StartDriver) -> None:
    """Serve until the server closes its end."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        # On the main thread, and before there is a loop: it blocks for as long as it tries.
        ray.init(
            address=start.address,
            namespace=start.namespace,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray raises many kinds; whatever it is, the server tries again
        channel.sendall(frame(NotConnected(_words(error))))
        return
    asyncio.run(_serve(channel, start))


async def _serve(channel: socket.socket, start: StartDriver) -> None:
    reader, writer = await asyncio.open_connection(sock=channel, limit=_READ_BYTES)
    driver = _Driver(start, writer)
    driver.begin()
    try:
        while True:
            driver.take(await read_to_driver(reader))
    except (asyncio.IncompleteReadError, ConnectionError):
        os._exit(0)  # the server is gone; Ray's own farewell could take long


class _Driver:
    def __init__(self, start: StartDriver, writer: asyncio.StreamWriter) -> None:
        self._start = start
        self._writer = writer
        self._home = encode(start.home)
        self._links: dict[str, _Link] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        self.send(Connected(len(_nodes())))
        for work in (self._beat(), self._look_on()):
            self.spawn(work)

    def send(self, message: Message) -> None:
        self._writer.write(frame(message))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.send(NotConnected(_words(error)))
            os._exit(1)  # what the server does about it is to start another driver

    def take(self, message: Give | Drop) -> None:
        link = self._links.get(message.node)
        if link is None or link.session != message.session:
            return  # the server will have heard by now that the session is over
        if isinstance(message, Give):
            link.give(encode(message.parcels))
        else:
            link.drop(message.numbers)

    @property
    def nodes(self) -> int:
        """Nodes that take dispatches."""
        return max(1, sum(link.session is not None for link in self._links.values()))

    async def _beat(self) -> None:
        while True:
            self.send(Beat())
            await asyncio.sleep(_BEAT_S)

    async def _look_on(self) -> None:
        """Have a link with each node that there is, and with no other."""
        while True:
            alive = await asyncio.to_thread(_nodes)
            for node in self._links.keys() - alive.keys():
                self._links.pop(node).leave("Ray says that it is gone")
            for node in alive.keys() - self._links.keys():
                link = self._links[node] = _Link(self, self._start, self._home, alive[node])
                link.task = self.spawn(link.run())
            await asyncio.sleep(_LOOK_S)


def _nodes() -> dict[str, dict[str, Any]]:
    """Find the nodes that have processors to give, by their ids."""
    known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray's own
    return {node["NodeID"]: node for node in known if node["Alive"] and node["Resources"].get("CPU", 0) >= 1}


class _Link:
    """What there is between this server and one node: one session after the other with its agent."""

    def __init__(self, driver: _Driver, start: StartDriver, home: bytes, node: dict[str, Any]) -> None:
        self._driver = driver
        self._server = start.server
        self._namespace = start.namespace
        self._home = home
        self._node: str = node["NodeID"]
        self._host = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        self._resources: dict[str, float] = node["Resources"]
        self._reserved = start.home.reserved
        self._agent: Any = None
        self._broken: asyncio.Future[None] | None = None
        self.session: int | None = None
        """The one that goes on, if one does."""
        self.task: asyncio.Task[None]

    async def run(self) -> None:
        backoff = Backoff(0.2, 5.0)
        while True:
            try:
                await self._open()
                backoff.reset()
                await self._listen()
            except Refusal as refusal:
                self._driver.send(NodeRefused(self._node, self._host, str(refusal)))
                await asyncio.sleep(_REFUSED_S)
            except (RayError, TimeoutError, OSError, ValueError) as error:
                was_up = self.session is not None
                self._lose(_words(error), agent_died=was_up and await self._has_died(error))
                if not was_up and not isinstance(error, RayActorError):
                    self._driver.send(NodeRefused(self._node, self._host, _words(error)))
                await asyncio.sleep(backoff.next_s())

    def leave(self, why: str) -> None:
        """End, because the node is gone."""
        self.task.cancel()
        self._lose(why)

    def give(self, parcels: bytes) -> None:
        self._driver.spawn(self._send(self._agent.take.remote(self._server, self.session, parcels)))

    def drop(self, numbers: list[int]) -> None:
        self._driver.spawn(self._send(self._agent.drop.remote(self._server, self.session, numbers)))

    async def _send(self, answer: Any) -> None:
        """Wait for an answer; without one the session is over, for what was sent may not have come."""
        session, broken = self.session, self._broken
        try:
            await asyncio.wait_for(answer, _ANSWER_S)
        except (RayError, TimeoutError, OSError) as error:
            if self.session == session and broken is not None and not broken.done():
                broken.set_exception(error)

    async def _open(self) -> None:
        """Find the node's agent, or make it, and begin a session."""
        digest = hashlib.sha256(self._home).hexdigest()[:12]
        reserved = {name: self._resources[name] for name in self._reserved if self._resources.get(name)}
        options = {
            "name": f"imagebatch-{self._node}-{digest}",
            "namespace": self._namespace,
            "lifetime": "detached",
            "get_if_exists": True,
            "num_cpus": 0,
            "num_gpus": reserved.pop("GPU", 0),
            "resources": reserved,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(self._node, soft=False),
            "max_concurrency": 1_000,
        }
        made = ray.remote(Agent).options(**options)
        self._agent = await asyncio.to_thread(made.remote, self._home, self._resources)
        session = time.time_ns()
        try:
            refused = await asyncio.wait_for(self._agent.attach.remote(self._server, session), _OPEN_S)
        except TimeoutError:
            asked = f", or Ray can't give it all {', '.join(self._reserved)} of the node" if self._reserved else ""
            raise Refusal(f"its agent did not come up within {_OPEN_S:g} s: the node is too busy{asked}") from None
        if refused is not None:
            raise Refusal(refused)
        self._broken = asyncio.get_running_loop().create_future()
        self.session = session
        self._driver.send(NodeUp(self._node, session, self._host))

    async def _listen(self) -> None:
        assert self._broken is not None  # noqa: S101 - a session was begun
        while self.session is not None:
            asked = self._agent.report.remote(self._server, self.session, self._driver.nodes)
            answer = asyncio.ensure_future(asyncio.wait_for(asked, _ANSWER_S))
            await asyncio.wait({answer, self._broken}, return_when=asyncio.FIRST_COMPLETED)
            if self._broken.done():
                answer.cancel()
                self._broken.result()
            report = answer.result()
            if report is None:
                raise ConnectionResetError("the agent had to forget the session")
            self._driver.send(Heard(self._node, self.session, report))

    async def _has_died(self, error: Exception) -> bool:
        """Whether the agent has ended on a node that lives; one whose node has died too can't be reached at first."""
        if not isinstance(error, ActorDiedError):
            return False
        with suppress(TimeoutError):
            return self._node in await asyncio.wait_for(asyncio.to_thread(_nodes), _ANSWER_S)
        return False

    def _lose(self, why: str, *, agent_died: bool = False) -> None:
        if self.session is not None:
            self._driver.send(NodeLost(self._node, self.session, why, agent_died))
        self.session = None


def _words(error: BaseException) -> str:
    """Say what an error is in one line; Ray's have many."""
    if isinstance(error, TimeoutError):
        return f"it did not answer within {_ANSWER_S:g} s"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:500]}" if lines else type(error).__name__
