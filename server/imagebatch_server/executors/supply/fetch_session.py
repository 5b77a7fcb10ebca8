"""One fetching child from its start to its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

from imagebatch_server.batches.errors import ItemError
from imagebatch_server.executors.processes.channel import Channel
from imagebatch_server.executors.processes.child_output import ChildOutput
from imagebatch_server.executors.processes.child_process import ChildProcess, ending
from imagebatch_server.executors.protocol.fetching import (
    Arrived,
    Fetch,
    FromFetchingChild,
    MadeRoom,
    NotFetched,
    Part,
    Ping,
    Pong,
    Slow,
    StartFetching,
    Take,
    UseHeaders,
    decode_from_fetching_child,
)
from imagebatch_server.executors.protocol.frames import BadFrame, frame
from imagebatch_server.executors.protocol.messages import Cancel, Message, Ready, Up
from imagebatch_server.images.guard import ForbiddenAddress, ForbiddenHost
from imagebatch_server.images.host_headers import NO_HEADERS, Tables
from imagebatch_server.limits import MAX_ERROR_MESSAGE_BYTES

_PING_S = 2.0
_SILENCE_S = 30.0
"""How long the child may say nothing, although it is asked how it is every `_PING_S`."""

_LONGEST_TYPE = 256
_KILLED = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, None)
"""Exit statuses of a process that somebody ended."""


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What is wanted, and whom to tell about it."""

    tenant: str
    batch_id: str
    url: str
    timeout_s: float
    on_slow: Callable[[], None]
    admit: Callable[[int], Awaitable[None]]
    """Given the size (bytes) of a file that has arrived; returns when there is room for it here."""


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file as a host sent it."""

    data: bytes
    content_type: str | None
    """As the host named it; only a hint."""
    took_s: float
    """From the request to the last byte."""


class MadeWay(Exception):
    """The fetch was ended in favour of others, by no fault of its own."""


class SessionEnded(Exception):
    """The child that had the fetch is gone; `how` is to be read after "the fetching process".

    `was_killed` says whether somebody killed it: the operator, the machine, or we, because it `was_silent`.
    """

    def __init__(self, how: str, *, was_killed: bool, was_silent: bool) -> None:
        super().__init__(how)
        self.how = how
        self.was_killed = was_killed
        self.was_silent = was_silent


@dataclass(eq=False, slots=True)
class _Call:
    request: FetchRequest
    arrived: asyncio.Future[Arrived]
    whole: asyncio.Future[None]
    parts: list[bytes] = field(default_factory=list)
    missing_bytes: int = 0


class FetchSession:
    """Starts a fetching child and stays with it to the end. Belongs to one event loop."""

    def __init__(self, start: StartFetching, on_ready: Callable[[], None]) -> None:
        """Start the child. Raises OSError if the system can't."""
        self._memory_bytes = start.memory_bytes
        self._on_ready = on_ready
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[str | None] = self._loop.create_future()
        self._calls: dict[int, _Call] = {}
        self._numbers = count(1)
        self._heard_at = self._loop.time()
        self._was_silent = False
        self._headers = NO_HEADERS
        self.is_ready = False
        """Whether it takes fetches."""
        self._process = ChildProcess("fetching")
        self._output = ChildOutput(self._process.printed, self._process.pid)
        self._channel = Channel(
            self._process.channel_end, decode_from_fetching_child, self._handle, lambda: None, self._end
        )
        self._send(start)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    async def run(self) -> str:
        """Wait for the end of the child, tell every fetch of it, and answer how it ended. Cancelled, end the child."""
        status: int | None = None
        watching = self._loop.create_task(self._watch())
        try:
            why = await self._ended
        finally:
            watching.cancel()
            self.is_ready = False
            self._channel.close()
            self._process.kill()
            status = await self._process.gone()
            self._output.close()
        how = why or ending(status, self._memory_bytes)
        was_killed = self._was_silent or (why is None and status in _KILLED)
        for call in self._calls.values():
            for future in (call.arrived, call.whole):
                if not future.done():
                    future.set_exception(SessionEnded(how, was_killed=was_killed, was_silent=self._was_silent))
        return how

    async def fetch(self, request: FetchRequest, headers: Tables) -> FetchedFile:
        """Have a file fetched, with `headers` for their hosts. Raises ItemError, MadeWay, SessionEnded."""
        if headers is not self._headers:
            self._headers = headers
            self._send(UseHeaders({host: dict(table) for host, table in headers.items()}))
        number = next(self._numbers)
        call = _Call(request, self._loop.create_future(), self._loop.create_future())
        self._calls[number] = call
        self._send(Fetch(number, request.tenant, request.batch_id, request.url, request.timeout_s))
        try:
            arrived = await call.arrived
            await request.admit(arrived.size_bytes)
            self._send(Take(number))
            await call.whole
            return FetchedFile(b"".join(call.parts), arrived.content_type, arrived.took_s)
        finally:
            del self._calls[number]
            for future in (call.arrived, call.whole):
                if future.done() and not future.cancelled():
                    future.exception()  # nobody may be left to ask for it
            if not call.whole.done():
                self._send(Cancel(number))  # it may have ended there; then nothing happens

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_PING_S)
            self._send(Ping())
            self._channel.drain()  # what it said in time counts, however late this loop hears it
            if self._loop.time() - self._heard_at > _SILENCE_S:
                self._was_silent = True
                self._end(f"said nothing for {_SILENCE_S:g} s")

    def _handle(self, message: FromFetchingChild) -> None:
        self._heard_at = self._loop.time()
        if isinstance(message, (Up, Pong)):
            return
        if isinstance(message, Ready):
            self.is_ready = True
            self._on_ready()
            return
        call = self._calls.get(message.number)
        if call is not None:  # else nobody wants it any more
            self._handle_of(call, message)

    def _handle_of(self, call: _Call, message: Slow | Arrived | Part | NotFetched | MadeRoom) -> None:
        if isinstance(message, Part):
            self._handle_part(call, message.data)
        elif isinstance(message, Slow):
            call.request.on_slow()
        elif call.arrived.done():
            raise BadFrame("it told twice what came of a fetch")
        elif isinstance(message, Arrived):
            if message.size_bytes < 0 or len(message.content_type or "") > _LONGEST_TYPE or not message.took_s >= 0:
                raise BadFrame("a file that can't be")
            call.missing_bytes = message.size_bytes
            call.arrived.set_result(message)
        elif isinstance(message, NotFetched):
            if len(message.message) > MAX_ERROR_MESSAGE_BYTES or not 0 <= (message.retry_after_s or 0) < float("inf"):
                raise BadFrame("an error that can't be")
            call.arrived.set_exception(_error(message))
        else:
            call.arrived.set_exception(MadeWay())

    def _handle_part(self, call: _Call, data: bytes) -> None:
        call.missing_bytes -= len(data)
        if not call.arrived.done() or call.whole.done() or call.missing_bytes < 0:
            raise BadFrame("more of a file than there is")
        call.parts.append(data)
        if not call.missing_bytes:
            call.whole.set_result(None)

    def _send(self, message: Message) -> None:
        self._channel.send([frame(message)])

    def _end(self, why: str | None) -> None:
        if not self._ended.done():
            self._channel.close()
            self._ended.set_result(why)


def _error(message: NotFetched) -> ItemError:
    if message.forbidden is not None:
        return ForbiddenHost(
            ForbiddenAddress(message.forbidden.host, message.forbidden.address, message.forbidden.kind)
        )
    return ItemError(
        message.code,
        message.message,
        transient=message.transient,
        busy=message.busy,
        retry_after_s=message.retry_after_s,
    )
