"""The connections that callers hold open: how many, and which of them are closed where more come."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import structlog

from imagebatch_server.batches.errors import Limit, LimitExceeded

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.5
NEWCOMERS = 64
"""Connections beyond the most, whose calls are refused in words; gRPC itself would hang up on them without any."""

SPARED_S = 0.5
"""A connection that is new, or had a call, so lately is not closed: another call may be on its way.

With two looks it stays well below the 3 s for which our client tries at least to reach a server.
"""

_CROWDED, _ROOMY = 7 / 8, 3 / 4
"""Shares of the most connections: above the first, idle ones are closed until the second is left."""


class Connections:
    """Keep room for callers who come: where connections are many, those without a call are closed, idlest first.

    gRPC tells nobody which connections there are. So they are found among the process's sockets, and told apart by the
    peers of calls.
    """

    name = "connections"

    def __init__(self, most: int, on_closed: Callable[[int], None], on_refused: Callable[[str], None]) -> None:
        """Of `on_closed` the count is told, of `on_refused` the limit's name in ServerLimits."""
        self.most = most
        self._on_refused = on_refused
        self._on_closed = on_closed
        self._ports: set[int] = set()
        self._calls: Counter[str] = Counter()
        self._last_call: dict[str, float] = {}
        self._first_seen: dict[str, float] = {}

    def listen_on(self, port: int) -> None:
        """Say to which port connections come too."""
        self._ports.add(port)

    @contextmanager
    def call(self, peer: str) -> Iterator[None]:
        """Count a call of a peer, as gRPC names it, while the block runs."""
        self._calls[peer] += 1
        try:
            yield
        finally:
            self._last_call[peer] = monotonic()
            self._calls[peer] -= 1
            if not self._calls[peer]:
                del self._calls[peer]

    def ensure_room(self) -> None:
        """Make sure that no more connections than the most have calls under way. Raises LimitExceeded."""
        if len(self._calls) <= self.most:
            return
        self._on_refused("max_connections")
        setting = "IMAGEBATCH_MAX_CONNECTIONS"
        raise LimitExceeded(
            Limit("max_connections", value=self.most, observed=len(self._calls), setting=setting),
            f"{self.most} connections have calls under way, the most that this server takes; try again, share a "
            f"connection between callers, or raise {setting}",
            retry_after_s=random.uniform(0.5, 1.5),  # apart, so that those who were refused together don't return so
        )

    def count(self) -> int:
        """Count the open connections."""
        return len(self._open())

    async def step(self) -> None:
        """Look whether there are too many, a moment later."""
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            descriptors = len(open_descriptors())  # every connection is one, and counting those is cheap
        except OSError as error:
            log.warning("connections.not_counted", why=error.strerror)  # looking takes a descriptor too
            return
        if descriptors > _ROOMY * self.most or len(self._last_call) > 2 * self.most:
            self._make_room(await asyncio.to_thread(self._open))

    def _make_room(self, connections: Mapping[str, int]) -> None:
        now = monotonic()
        self._last_call = {peer: at for peer, at in self._last_call.items() if peer in connections}
        self._first_seen = {peer: self._first_seen.get(peer, now) for peer in connections}
        if len(connections) <= _CROWDED * self.most:
            return
        idle = [peer for peer in connections if peer not in self._calls and now - self._worth(peer)[1] > SPARED_S]
        idle.sort(key=self._worth)
        closed = sum(_close(connections[peer], peer) for peer in idle[: len(connections) - int(_ROOMY * self.most)])
        self._on_closed(closed)
        if closed:
            log.info("connections.idle_closed", closed=closed, open=len(connections) - closed, most=self.most)
        elif len(connections) >= self.most:
            log.warning("connections.all_busy", open=len(connections), most=self.most)

    def _worth(self, peer: str) -> tuple[bool, float]:
        """Sort who never called before who did, and the idlest first."""
        last_call = self._last_call.get(peer)
        return last_call is not None, self._first_seen[peer] if last_call is None else last_call

    def _open(self) -> Mapping[str, int]:
        """Find the connections: peers, as gRPC names them, and their descriptors."""
        peers = ((_peer(descriptor, self._ports), descriptor) for descriptor in open_descriptors())
        return {peer: descriptor for peer, descriptor in peers if peer is not None}


def open_descriptors() -> Sequence[int]:
    """List this process's open descriptors."""
    return [int(entry.name) for entry in Path("/dev/fd").iterdir()]


def _peer(descriptor: int, ports: Collection[int]) -> str | None:
    """Name the peer of an accepted connection to one of these ports; None for what is no such connection."""
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.getsockname()[1] not in ports:
            return None
        host, peer_port = connection.getpeername()[:2]
    except OSError:
        return None  # it listens, or has just ended
    finally:
        connection.detach()  # the descriptor is gRPC's
    return f"ipv4:{host}:{peer_port}" if connection.family == socket.AF_INET else f"ipv6:%5B{host}%5D:{peer_port}"


def _close(descriptor: int, peer: str) -> bool:
    """Shut a connection down, which gRPC notices as its peer's end; False if it has ended already."""
    try:
        copy = os.dup(descriptor)  # a copy stays with its connection, even if the number is given to another one
    except OSError:
        return False
    with socket.socket(fileno=copy) as connection:
        try:
            if _peer(copy, {connection.getsockname()[1]}) != peer:
                return False
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return False
    return True
