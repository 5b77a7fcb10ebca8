"""The executor of a cluster: dispatches are given to the nodes' agents, by a driver that is a child of the server."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count

import structlog
from msgspec import MsgspecError

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.backoff import Backoff
from imagebatch_server.batches.errors import CannotStart
from imagebatch_server.batches.model import AttemptResult, Dispatch, Outcome
from imagebatch_server.batches.ports.execution import DispatchEvents
from imagebatch_server.executors.attempts.strikes import MOST_STRIKES, Culprits
from imagebatch_server.executors.processes import failures
from imagebatch_server.executors.protocol.cluster import (
    Alone,
    Answered,
    Connected,
    Drop,
    Event,
    Fetched,
    FetchEnded,
    Finished,
    FromDriver,
    Give,
    Heard,
    Home,
    NodeLost,
    NodeRefused,
    NodeUp,
    Parcel,
    Slow,
    StartDriver,
    decode_report,
)
from imagebatch_server.executors.protocol.frames import BadFrame
from imagebatch_server.executors.ray.driver_session import DriverSession
from imagebatch_server.executors.ray.node import Flight, Node
from imagebatch_server.executors.supply.events import OnFetch
from imagebatch_server.trace_context import log_fields

log = structlog.get_logger(__name__)

_DRIVER_BYTES = 8 * 1024 * 1024 * 1024
"""What the driver may use: Ray reserves much and uses little."""

_START_S = 20.0
"""How long a start waits for the cluster's first word; without one the server starts, and items wait."""

_GATHER_S = 0.002
"""How long dispatches wait for others that go with them."""

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 5.0
_LOOK_S = 2.0
"""Time between looks at whether files that nodes are given have changed."""


class RayExecutor:
    """Implement the `Executor` port. Belongs to one event loop.

    What a node has that is lost goes to another, as the same attempt: nobody is charged for it. Each time a dispatch is
    given to a node it has another number there, so that what a lost one still says counts for nothing.

    Only an agent that dies by itself may have died of what it ran, and so has struck all of it. What was struck twice
    goes alone, and what agents go on dying of then has to pay.
    """

    def __init__(
        self,
        address: str,
        namespace: str,
        server: str,
        lane: Callable[[str, bytes | None], str],
        home: Callable[[], Home],
        on_fetch: OnFetch,
        *,
        one_node: bool,
    ) -> None:
        """`home` says what agents are made of, and is asked again now and then.

        `one_node`: whether there may be but one, because images are in a folder.
        """
        self._address = address
        self._namespace = namespace
        self._server = server
        self._lane = lane
        self._home = home
        self._on_fetch = on_fetch
        self._one_node = one_node
        self._events: DispatchEvents
        self._driver: DriverSession | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._first_word: asyncio.Future[str | None] | None = None
        self._is_connected = False
        self._nodes: dict[str, Node] = {}
        self._numbers = count(1)
        self._flights: dict[int, Flight] = {}
        """By the dispatch's identity."""
        self._waiting: OrderedDict[int, Flight] = OrderedDict()
        """Those that no node has, likewise."""
        self._parcels: defaultdict[Node, list[Parcel]] = defaultdict(list)
        self._culprits = Culprits()
        self._gone_restarts = 0
        self._refused: dict[str, str] = {}
        self._ended = asyncio.Event()

    @property
    def alive(self) -> int:
        """Workers of all nodes that take items."""
        return sum(node.alive for node in self._nodes.values())

    @property
    def restarts(self) -> int:
        """Workers that were replaced, of nodes that are gone too."""
        return self._gone_restarts + sum(node.restarts for node in self._nodes.values())

    async def start(self, events: DispatchEvents) -> None:
        """Start the driver. A cluster that is away is waited for in the background. Raises CannotStart."""
        self._events = events
        self._first_word = asyncio.get_running_loop().create_future()
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise())
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                refusal = await asyncio.shield(self._first_word)
                if refusal is not None:
                    raise CannotStart(refusal)

    async def stop(self, grace_s: float) -> None:
        """Have nodes begin nothing more, wait for what they have begun, then leave the cluster."""
        for flight in [flight for flight in self._flights.values() if not flight.has_begun]:
            self.forget(flight.dispatch)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self._flights:
                    self._ended.clear()
                    await self._ended.wait()
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)

    def lane(self, operation: str, parameters: bytes | None) -> str:
        """Where an operation with these parameters runs."""
        return self._lane(operation, parameters)

    def submit(self, dispatch: Dispatch) -> None:
        """Take one attempt."""
        flight = Flight(dispatch, strikes=MOST_STRIKES - 1 if self._culprits.have(dispatch) else 0)
        self._flights[id(dispatch)] = flight
        self._place(flight)

    def forget(self, dispatch: Dispatch) -> None:
        """Drop an attempt."""
        flight = self._flights.get(id(dispatch))
        if flight is None:
            return
        if flight.node is not None:
            self._tell(Drop(flight.node.name, flight.node.session, [flight.number]))
        self._let_go(flight)
        if flight.is_fetched and not flight.was_fetched:
            # Due even so; its host's slot is free a moment before the node lets go of it.
            asyncio.get_running_loop().call_soon(self._events.fetched, dispatch)

    def withdraw(self, dispatch: Dispatch) -> bool:
        """Drop an attempt, unless a worker has it."""
        flight = self._flights.get(id(dispatch))
        if flight is None or flight.has_begun:
            return False
        self.forget(dispatch)
        return True

    def room(self, lane: str) -> int:
        """How many more stored images the nodes want."""
        wanted = sum(max(0, node.room(lane)) for node in self._nodes.values())
        return max(0, wanted - self._waiting_in(lane, fetched=False))

    def room_to_fetch(self, lane: str) -> int:
        """How many more images given by URL they want."""
        wanted = sum(max(0, node.room_to_fetch(lane)) for node in self._nodes.values())
        return max(0, wanted - self._waiting_in(lane, fetched=True))

    def first_turn_ms(self, lane: str) -> float:
        """Tell the turn that a node's worker takes next, as the nodes last told."""
        return min((node.first_turn_ms(lane) for node in self._nodes.values()), default=float("inf"))

    def last_turn_ms(self, lane: str) -> float:
        """Tell the last turn that waits at a node, likewise."""
        return max((node.last_turn_ms(lane) for node in self._nodes.values()), default=float("-inf"))

    @property
    def trouble(self) -> str | None:
        """Why no item runs now, if none does. Anybody may read it: addresses and causes are in the log."""
        if self._nodes:
            return None
        if not self._is_connected:
            return "the Ray cluster is away; items wait for it"
        return "no node of the Ray cluster takes items; they wait, and the server's log says why"

    # What goes to nodes.

    def _waiting_in(self, lane: str, *, fetched: bool) -> int:
        return sum(flight.dispatch.lane == lane and flight.is_fetched is fetched for flight in self._waiting.values())

    def _place(self, flight: Flight) -> None:
        """Give a dispatch to the node that wants it most; without one it waits."""
        nodes = [node for node in self._nodes.values() if node.has(flight.dispatch.lane)]
        if not nodes:
            self._waiting[id(flight.dispatch)] = flight
            return
        node = max(nodes, key=lambda one: one.room_for(flight))
        flight.number = next(self._numbers)
        node.add(flight)
        if not self._parcels:
            asyncio.get_running_loop().call_later(_GATHER_S, self._give)
        self._parcels[node].append(Parcel(flight.number, flight.dispatch, flight.goes_alone))

    def _give(self) -> None:
        parcels, self._parcels = self._parcels, defaultdict(list)
        for node, several in parcels.items():
            kept = [parcel for parcel in several if parcel.number in node.flights]
            if kept:
                self._tell(Give(node.name, node.session, kept))

    def _tell(self, message: Give | Drop) -> None:
        if self._driver is not None:
            self._driver.send(message)

    def _let_go(self, flight: Flight) -> None:
        self._waiting.pop(id(flight.dispatch), None)
        if flight.node is not None:
            flight.node.remove(flight)
        del self._flights[id(flight.dispatch)]
        self._ended.set()

    # What the driver says.

    def _hear(self, message: FromDriver) -> None:
        if isinstance(message, Connected):
            self._is_connected = True
            log.info("ray.connected", address=self._address, nodes=message.nodes)
            if self._one_node and message.nodes > 1:
                self._said(self._one_too_many())
        elif isinstance(message, NodeUp):
            self._up(message)
        elif isinstance(message, NodeLost):
            node = self._nodes.get(message.node)
            if node is not None and node.session == message.session:
                self._lose([node], message.why, agent_died=message.agent_died)
        elif isinstance(message, NodeRefused):
            self._refuse(message)
        elif isinstance(message, Heard):
            self._report(message)

    def _up(self, message: NodeUp) -> None:
        log.info("ray.node_up", node=message.node, host=message.host)
        self._refused.pop(message.node, None)
        if message.node in self._nodes:
            self._lose([self._nodes[message.node]], "it has begun anew")
        if self._one_node and self._nodes:
            self._refuse(NodeRefused(message.node, message.host, self._one_too_many()))
            return
        self._nodes[message.node] = Node(message.node, message.session, message.host)
        self._said(None)

    def _refuse(self, message: NodeRefused) -> None:
        if self._refused.get(message.node) != message.why:
            log.error("ray.node_refused", node=message.node, host=message.host, why=message.why)
        self._refused[message.node] = message.why
        self._said(None)

    def _one_too_many(self) -> str:
        return (
            f"the Ray cluster at {self._address} has several nodes with processors, and images are in a folder of this "
            "server, which others can't read: give --object-store-url (IMAGEBATCH_OBJECT_STORE_URL) a bucket that all "
            "nodes reach, or leave one such node"
        )

    def _said(self, refusal: str | None) -> None:
        if self._first_word is not None and not self._first_word.done():
            self._first_word.set_result(refusal)

    def _lose(self, nodes: Sequence[Node], why: str, *, agent_died: bool = False) -> None:
        """Give what they had to others, as if it had never been with them; unless agents died of it again and again."""
        for node in nodes:
            del self._nodes[node.name]
            self._parcels.pop(node, None)
            self._gone_restarts += node.restarts
            log.warning("ray.node_lost", node=node.name, host=node.host, why=why, items=len(node.flights))
        for flight in [flight for node in nodes for flight in node.flights.values()]:
            if agent_died:
                flight.strike()
            flight.node, flight.is_slow, flight.is_alone, flight.has_begun = None, False, False, False
            if flight.strikes < MOST_STRIKES:
                self._place(flight)
            else:
                self._charge(flight)

    def _charge(self, flight: Flight) -> None:
        dispatch = flight.dispatch
        self._culprits.remember(dispatch)
        error = failures.crash("took the agent of its node down")
        log.warning(
            "item.worker_lost",
            batch_id=dispatch.batch_id,
            item_index=dispatch.item.item_index,
            operation=dispatch.operation,
            attempt=dispatch.attempt,
            why=error.message,
            **log_fields(dispatch.traceparent),
        )
        self._let_go(flight)
        if flight.is_fetched and not flight.was_fetched:
            self._events.fetched(dispatch)
        outcome = Outcome(
            dispatch.item.item_index, BatchItemStatus.FAILED, error.code, error.message, attempts=dispatch.attempt
        )
        self._events.finished(AttemptResult(dispatch, outcome, transient=error.transient))

    def _report(self, heard: Heard) -> None:
        node = self._nodes.get(heard.node)
        if node is None or node.session != heard.session:
            return
        try:
            report = decode_report(heard.report)
        except MsgspecError as error:
            raise BadFrame(f"a node's report that is none: {error}") from error
        for event in report.events:
            flight = node.flights.get(event.number)
            if flight is not None:  # else nobody wants it any more
                self._handle(node, flight, event)
        if node.stands(report.lanes, report.alive, report.restarts):
            for flight in list(self._waiting.values()):
                if node.has(flight.dispatch.lane):
                    del self._waiting[id(flight.dispatch)]
                    self._place(flight)
            self._events.room_grew()

    def _handle(self, node: Node, flight: Flight, event: Event) -> None:
        dispatch = flight.dispatch
        if isinstance(event, Finished):
            self._let_go(flight)
            result = AttemptResult(
                dispatch, event.outcome, event.objects, event.transient, event.busy, event.retry_after_s
            )
            self._events.finished(result)
        elif isinstance(event, Fetched):
            if not flight.was_fetched:
                flight.was_fetched = True
                self._events.fetched(dispatch)
        elif isinstance(event, FetchEnded):
            self._on_fetch(dispatch, event.code, event.took_s, event.size_bytes)
        elif isinstance(event, Answered):
            self._events.answered(dispatch)
        elif isinstance(event, Slow):
            node.is_slow(flight)
            if not flight.was_fetched:
                self._events.fetch_is_slow(dispatch)
        elif isinstance(event, Alone):
            flight.is_alone = True
        elif not flight.has_begun:
            flight.has_begun = True
            self._events.started(dispatch)

    # The driver's life.

    async def _supervise(self) -> None:
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            home = await asyncio.to_thread(self._home)
            start = StartDriver(_DRIVER_BYTES, self._address, self._namespace, self._server, home)
            watching: asyncio.Task[None] | None = None
            try:
                self._driver = driver = DriverSession(start, self._hear)
                watching = asyncio.get_running_loop().create_task(self._watch_home(home, driver))
                how = await driver.run()
            except OSError as error:
                how = str(error)
            finally:
                if watching is not None:
                    watching.cancel()
                self._driver = None
            if self._is_connected:
                backoff.reset()
            self._is_connected = False
            pause_s = backoff.next_s()
            log.warning("ray.away", address=self._address, why=how, again_in_s=pause_s)
            self._lose(list(self._nodes.values()), f"the driver {how}")
            await asyncio.sleep(pause_s)

    async def _watch_home(self, home: Home, driver: DriverSession) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            with suppress(OSError):
                if await asyncio.to_thread(self._home) != home:
                    driver.restart("was given other files")
