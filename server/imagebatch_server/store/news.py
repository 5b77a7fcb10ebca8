"""The port `News` for several servers on one PostgreSQL: what one publishes, the others are notified of.

Notifications are hints that may be lost. They are sent after the change that they tell of was committed, many in one
transaction that waits for no disk, and only where another server has to hear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial

import structlog
from sqlalchemy import Connection, text

from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.batches.ports.servers import News, NewsKind, NewsSubscriber
from imagebatch_server.store.database import Database
from imagebatch_server.store.listening import CHANNEL, Listening

log = structlog.get_logger(__name__)

POLL_S = 5.0
"""Between two looks for what was missed, while notifications arrive."""

QUICK_POLL_S = 0.5
"""The same while they do not."""

PAYLOAD_BYTES = 7_900
"""PostgreSQL takes fewer than 8,000."""

_Told = tuple[NewsKind, str, str]
_PROBE = "probe"


class SharedNews:
    """The port `News`. A loop that sends what is to be told, and looks for what may have been missed."""

    name = "news"

    def __init__(self, here: News, database: Database, server: str, has_others: Callable[[], bool]) -> None:
        """Have `here` tell the subscribers on this server, whose name is `server`, like no other's.

        `has_others` answers whether there are other servers now.
        """
        self.listening = Listening(database.notifications, self._heard, self._look_now)
        """The loop that hears the others."""
        self._database = database
        self._server = server
        self._has_others = has_others
        self._here = here
        self._looks: list[Callable[[], None]] = []
        self._untold: dict[_Told, None] = {}
        self._next_look_at = 0.0
        self._wake = asyncio.Event()

    @property
    def hears(self) -> bool:
        """Whether it is known to hear the other servers, if there are any."""
        return self.listening.hears or not self._has_others()

    def publish(self, kind: NewsKind, tenant: str, batch_id: str) -> None:
        self._here.publish(kind, tenant, batch_id)
        if self._has_others():
            self.tell_others(kind, tenant, batch_id)

    def tell_others(self, kind: NewsKind, tenant: str, batch_id: str) -> None:
        self._untold[kind, tenant, batch_id] = None
        self._wake.set()

    def subscribe(self, subscriber: NewsSubscriber) -> None:
        self._here.subscribe(subscriber)

    def when_missed(self, look: Callable[[], None]) -> None:
        self._looks.append(look)

    async def step(self) -> None:
        """Send what was published while the last was being sent; now and then look, and see whether one hears."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._next_look_at):
                await self._wake.wait()
        self._wake.clear()
        self._look_if_due()
        untold, self._untold = self._untold, {}
        lines = [f"{kind} {tenant} {batch_id}" for kind, tenant, batch_id in untold]
        if self.listening.is_probe_due and self._has_others():
            lines.append(f"{_PROBE} {self.listening.probe()}")
        if lines:
            await self._send(list(payloads(self._server, lines)))

    async def _send(self, sent: Sequence[str]) -> None:
        try:
            await self._database.read(partial(_notify, payloads=sent))
        except StoreUnavailable as error:
            log.warning("news.not_sent", why=str(error))  # the others find it when they look

    def _look_if_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._next_look_at:
            return
        self._next_look_at = now + (POLL_S if self.hears else QUICK_POLL_S)
        if self._has_others():
            for look in self._looks:
                look()

    def _look_now(self) -> None:
        self._next_look_at = 0.0
        self._wake.set()

    def _heard(self, payload: str) -> None:
        server, *lines = payload.split("\n")
        for line in lines:
            kind, *about = line.split(" ")
            if server == self._server:  # whoever is here was told at once
                if kind == _PROBE:
                    self.listening.came_back(int(about[0]))
            elif kind in _KINDS and len(about) == 2:  # else it is a probe, or of a later version
                self._here.publish(NewsKind(kind), about[0], about[1])


def payloads(server: str, lines: Sequence[str]) -> Iterator[str]:
    """Put lines together, as many as PostgreSQL takes at one time, each part below the server's name."""
    part, size = [server], len(server)
    for line in lines:
        if size + 1 + len(line) > PAYLOAD_BYTES:
            yield "\n".join(part)
            part, size = [server], len(server)
        part.append(line)
        size += 1 + len(line)
    yield "\n".join(part)


def _notify(connection: Connection, payloads: Sequence[str]) -> None:
    connection.execute(_NOTIFY, {"channel": CHANNEL, "payloads": payloads})


_KINDS = frozenset(NewsKind)
# A notification has nothing to be durable, so its commit need not wait for the disk.
_NOTIFY = text("""
    SELECT set_config('synchronous_commit', 'off', true), pg_notify(:channel, payload)
    FROM unnest(CAST(:payloads AS text[])) AS payload
""")
