"""A node's agent: the actor that hosts the executor of its machine, shared by all servers of the service.

Each server has a session with it. What an older session of a server had is forgotten when the next one begins, or when
the server has asked for no report for a while; an agent that nobody asks any more ends by itself.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import ray
import structlog

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.model import AttemptResult, Dispatch
from imagebatch_server.batches.ports.execution import DispatchEvents, Executor
from imagebatch_server.executors.protocol.cluster import (
    Alone,
    Answered,
    Event,
    Fetched,
    FetchEnded,
    Finished,
    Home,
    LaneState,
    Report,
    Slow,
    Underway,
    decode_home,
    decode_parcels,
    encode,
)
from imagebatch_server.executors.ray.gate import Gate
from imagebatch_server.executors.supply.events import OnFetch

log = structlog.get_logger(__name__)

UNUSED_S = 60.0
"""How long an agent that no server asks lives on."""

_SILENT_S = 10.0
"""How long a server may ask for nothing before what it gave is forgotten."""

_LOOK_S = 1.0

_WAIT_S = 1.0
"""How long a report waits for something to report."""

_GATHER_S = 0.01
"""How long it waits for more once there is something."""

_MOST_EVENT_BYTES = 8 * 1024 * 1024
"""Of outcomes' outputs in a report, about."""


class Refusal(Exception):
    """A node can't be used; the message says why, and what is to be done."""


class NodeExecutor(Executor, Protocol):
    """The executor of a node's machine."""

    def lanes(self) -> list[str]:
        """List the lanes there are; an operation whose lane is not among them can't run here."""


Opener = Callable[[Home, dict[str, float], AsyncExitStack, Callable[[], int], OnFetch], Any]
"""Opens a node's executor; raises Refusal."""


class _Session:
    """What one server has here."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked_at = time.monotonic()
        self.is_asking = False
        self.dispatches: dict[int, Dispatch] = {}
        self.events: list[Event] = []
        self.has_events = asyncio.Event()
        self.stored: Counter[str] = Counter()
        """Dispatches with stored images, by lane."""
        self.fetching: Counter[str] = Counter()
        """Dispatches whose images are given by URL and that are not slow, by lane."""
        self.slow: set[int] = set()
        self.alone: list[int] = []
        """Dispatches of which the last report said that they are alone."""

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self.has_events.set()

    def hold(self, number: int, dispatch: Dispatch) -> None:
        self.dispatches[number] = dispatch
        (self.fetching if dispatch.item.image_url is not None else self.stored)[dispatch.lane] += 1

    def let_go(self, number: int) -> Dispatch | None:
        dispatch = self.dispatches.pop(number, None)
        if dispatch is None:
            return None
        if dispatch.item.image_url is None:
            self.stored[dispatch.lane] -= 1
        elif number not in self.slow:
            self.fetching[dispatch.lane] -= 1
        self.slow.discard(number)
        return dispatch

    def lend(self, number: int) -> None:
        if number not in self.slow:
            self.slow.add(number)
            self.fetching[self.dispatches[number].lane] -= 1

    def take_events(self) -> list[Event]:
        size, taken = 0, 0
        for event in self.events:
            if size > _MOST_EVENT_BYTES:
                break
            size += len(event.outcome.output_data or b"") if isinstance(event, Finished) else 0
            taken += 1
        events, self.events = self.events[:taken], self.events[taken:]
        if not self.events:
            self.has_events.clear()
        return events


class Agent(DispatchEvents):
    """Ray's actor. Its methods are coroutines of one event loop."""

    def __init__(self, home: bytes, resources: dict[str, float], end: Callable[[], None] | None = None) -> None:
        """`end` ends the actor; Ray's own way, if it is left out."""
        self._end = end or _end
        self._is_refused = False
        self._home = decode_home(home)
        self._resources = resources
        self._sessions: dict[str, _Session] = {}
        self._of: dict[int, tuple[_Session, int]] = {}
        """By a dispatch's identity: whose it is, and its number there."""
        self._opening: asyncio.Task[str | None] | None = None
        self._opened = AsyncExitStack()
        self._executor: NodeExecutor
        self._gate = Gate(self._go_in, self._announce)
        self._nodes = 1
        self._asked_at = time.monotonic()

    async def attach(self, server: str, number: int) -> str | None:
        """Begin a session with a server, in place of the one before; answers why not, if it can't."""
        self._asked_at = time.monotonic()
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        refused = await asyncio.shield(self._opening)
        if refused is not None:
            return refused
        self._forget(server)
        self._sessions[server] = _Session(number)
        return None

    async def take(self, server: str, number: int, parcels: bytes) -> None:
        """Take dispatches."""
        session = self._session(server, number)
        if session is None:
            return
        for parcel in decode_parcels(parcels):
            session.hold(parcel.number, parcel.dispatch)
            self._of[id(parcel.dispatch)] = session, parcel.number
            self._gate.come(parcel.dispatch, alone=parcel.goes_alone)

    async def drop(self, server: str, number: int, numbers: list[int]) -> None:
        """Forget dispatches; what a worker has of them may run all the same."""
        session = self._session(server, number)
        if session is not None:
            for one in numbers:
                self._drop(session, one)

    async def report(self, server: str, number: int, nodes: int) -> bytes | None:
        """Tell what has happened, as soon as something has, or after a second; None if the session is over.

        `nodes` is how many there are.
        """
        self._nodes = nodes
        session = self._session(server, number)
        if session is None:
            return None
        self._asked_at = session.asked_at = time.monotonic()
        for one in session.alone:
            if one in session.dispatches:
                self._gate.told(session.dispatches[one])
        session.is_asking = True
        try:
            try:
                async with asyncio.timeout(_WAIT_S):
                    await session.has_events.wait()
                await asyncio.sleep(_GATHER_S)
            except TimeoutError:
                pass
        finally:
            session.is_asking = False
        self._asked_at = session.asked_at = time.monotonic()
        events = session.take_events()
        session.alone = [event.number for event in events if isinstance(event, Alone)]
        return encode(Report(events, self._lanes(session), self._executor.alive, self._executor.restarts))

    # What the executor reports.

    def fetched(self, dispatch: Dispatch) -> None:
        self._tell(dispatch, Fetched)

    def answered(self, dispatch: Dispatch) -> None:
        self._tell(dispatch, Answered)

    def started(self, dispatch: Dispatch) -> None:
        self._tell(dispatch, Underway)

    def fetch_ended(self, dispatch: Dispatch, code: ItemErrorCode | None, took_s: float, size_bytes: int) -> None:
        self._tell(dispatch, lambda number: FetchEnded(number, code, took_s, size_bytes))

    def fetch_is_slow(self, dispatch: Dispatch) -> None:
        if id(dispatch) in self._of:
            session, number = self._of[id(dispatch)]
            session.lend(number)
            session.tell(Slow(number))

    def finished(self, result: AttemptResult) -> None:
        if id(result.dispatch) not in self._of:
            return
        session, number = self._of.pop(id(result.dispatch))
        session.let_go(number)
        self._gate.leave(result.dispatch)
        session.tell(
            Finished(number, result.outcome, result.objects, result.transient, result.busy, result.retry_after_s)
        )

    def room_grew(self) -> None:
        """Have every server told."""
        for session in self._sessions.values():
            session.has_events.set()

    # What the gate lets in.

    def _go_in(self, dispatch: Dispatch) -> None:
        self._executor.submit(dispatch)

    def _announce(self, dispatch: Dispatch) -> None:
        self._tell(dispatch, Alone)

    def _tell(self, dispatch: Dispatch, kind: Callable[[int], Event]) -> None:
        if id(dispatch) in self._of:
            session, number = self._of[id(dispatch)]
            session.tell(kind(number))

    # How it opens, and how it ends.

    async def _open(self) -> str | None:
        module, _, name = self._home.opener.partition(":")
        try:
            opener: Opener = getattr(importlib.import_module(module), name)
            self._executor = await opener(
                self._home, self._resources, self._opened, lambda: self._nodes, self.fetch_ended
            )
            await self._executor.start(self)
            self._opened.push_async_callback(self._executor.stop, 0.0)
        except Exception as error:  # whatever it is, servers are told and the node is not used
            log.exception("ray.agent_failed")
            self._is_refused = True
            return str(error) if isinstance(error, Refusal) else f"{type(error).__name__}: {error}"
        return None

    async def _watch(self) -> None:
        """Forget servers that are gone; end when there is none.

        One that can't open ends soon: packages that are mended by the next time are seen by a new process only.
        """
        while not self._is_refused and time.monotonic() - self._asked_at < UNUSED_S:
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            silent = [
                server
                for server, session in self._sessions.items()
                if not session.is_asking and now - session.asked_at > _SILENT_S
            ]
            for server in silent:
                self._forget(server)
        await self._opened.aclose()
        await asyncio.sleep(_LOOK_S)  # what was just asked is answered
        self._end()

    def _session(self, server: str, number: int) -> _Session | None:
        session = self._sessions.get(server)
        return session if session is not None and session.number == number else None

    def _forget(self, server: str) -> None:
        session = self._sessions.pop(server, None)
        if session is not None:
            for number in list(session.dispatches):
                self._drop(session, number)

    def _drop(self, session: _Session, number: int) -> None:
        dispatch = session.let_go(number)
        if dispatch is not None:
            del self._of[id(dispatch)]
            if self._gate.leave(dispatch):
                self._executor.forget(dispatch)

    def _lanes(self, session: _Session) -> dict[str, LaneState]:
        """Tell how much of each lane is the server's: what it has there, and its share of what is free."""
        sharers = max(1, len(self._sessions))
        is_shut = self._gate.is_shut

        def share(room: int) -> int:
            return 0 if is_shut else -(-max(0, room) // sharers)

        return {
            lane: LaneState(
                stored=session.stored[lane] + share(self._executor.room(lane)),
                fetched=session.fetching[lane] + share(self._executor.room_to_fetch(lane)),
                first_turn_ms=self._executor.first_turn_ms(lane),
                last_turn_ms=self._executor.last_turn_ms(lane),
            )
            for lane in self._executor.lanes()
        }


def _end() -> None:
    ray.kill(ray.get_runtime_context().current_actor)
    os._exit(0)  # where Ray is gone too
