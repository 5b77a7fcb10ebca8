"""The port `Servers` on PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog
from sqlalchemy.exc import DBAPIError

from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.batches.lease import Lease
from imagebatch_server.batches.model import LiveServer, Load
from imagebatch_server.store import dialects, servers
from imagebatch_server.store.server_lock import ServerLock
from imagebatch_server.store.servers import ServerName

log = structlog.get_logger(__name__)

RENEWALS = 3
"""In the time that a lease lasts, so that two may fail."""

DESCRIBED_BEFORE_S = 0.1
"""So long before a renewal is due, what it says is put down once more, so that it is not from the one before."""

DRAIN_S = 1.0
LEAVE_S = 1.0
"""The thread is not waited for any longer: a database that is away must not hold up a stop."""


class Membership:
    """Renew this server's lease and read of the others, on a thread of its own, from `join` to `leave`.

    The lock belongs to that thread meanwhile.
    """

    def __init__(self, lock: ServerLock, name: ServerName, *, ttl_s: float) -> None:
        """`lock` is taken."""
        self._lock = lock
        self._name = name
        self._ttl_s = ttl_s
        self._lease = Lease(ttl_s)
        self._living: Sequence[LiveServer] = ()
        self._ahead_s = 0.0
        """By how much PostgreSQL's clock is ahead of the monotonic one."""
        self._load: Callable[[], Load] = Load
        self._draining = False
        self._renewed = asyncio.Event()
        self._due = threading.Event()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._write = partial(servers.renew, name=name, ttl_s=ttl_s, load=Load(), draining=False)

    # What the core asks for.

    alone = False

    @property
    def rank(self) -> int:
        return self._living.index(self.own)

    @property
    def count(self) -> int:
        return len(self._living)

    @property
    def term(self) -> int | None:
        return self._lease.term

    @property
    def may_take_over(self) -> bool:
        return self._lease.may_take_over

    @property
    def own(self) -> LiveServer:
        return next(server for server in self._living if server.server_id == self._name.server_id)

    @property
    def others(self) -> Sequence[LiveServer]:
        return [server for server in self._living if server.server_id != self._name.server_id]

    def time_s(self) -> float:
        return time.monotonic() + self._ahead_s

    async def held(self) -> None:
        while not self._lease.is_held:
            self._renewed.clear()
            await self._renewed.wait()

    async def drain(self) -> None:
        self._draining = True
        self._describe()
        self._renewed.clear()
        self._due.set()
        with suppress(TimeoutError):  # the others will see at the latest that this server is gone
            async with asyncio.timeout(DRAIN_S):
                await self._renewed.wait()

    def report(self, load: Callable[[], Load]) -> None:
        self._load = load
        self._describe()
        self._due.set()

    # What `app` does with it.

    async def join(self) -> None:
        """Take the first lease. Raises StoreUnavailable."""
        asked_at = time.monotonic()
        try:
            up_for_s, living = await asyncio.to_thread(self._first)
        except DBAPIError as error:
            raise StoreUnavailable(dialects.reason(error), may_pass=dialects.may_pass(error)) from error
        self._lease.begin(asked_at, up_for_s)
        self._living = living
        self._thread.start()

    async def leave(self) -> None:
        """Renew no more, and let others have at once what this server still owns."""
        self._leaving.set()
        self._due.set()
        await asyncio.to_thread(self._thread.join, LEAVE_S)

    def _first(self) -> tuple[float, Sequence[LiveServer]]:
        return servers.tidy(self._lock.hold()), self._ask()

    def _describe(self) -> None:
        """Say what the next renewals write; on the event loop, where the load is known."""
        self._write = partial(
            servers.renew, name=self._name, ttl_s=self._ttl_s, load=self._load(), draining=self._draining
        )

    def _take_in(self, living: Sequence[LiveServer]) -> None:
        self._living = living
        self._renewed.set()
        self._describe()
        self._loop.call_later(self._ttl_s / RENEWALS - DESCRIBED_BEFORE_S, self._describe)

    # The thread.

    def _run(self) -> None:
        next_at = time.monotonic() + self._ttl_s / RENEWALS
        while not self._leaving.is_set():
            self._due.wait(max(next_at - time.monotonic(), 0.0))
            self._due.clear()
            next_at = time.monotonic() + self._ttl_s / RENEWALS
            self._renew()
        try:
            servers.remove(self._lock.hold(), self._name.server_id)
        except (DBAPIError, StoreUnavailable):
            return  # the lease will end by itself

    def _ask(self) -> Sequence[LiveServer]:
        if self._lock.is_lost():
            self._lease.fail()  # before it is taken again: others may have lost theirs with it, and need a while
        asked_at = time.monotonic()
        renewed_at, living = self._write(self._lock.hold())
        self._ahead_s = renewed_at - asked_at
        if not any(server.server_id == self._name.server_id for server in living):
            raise StoreUnavailable("the lease was renewed too late to be seen")  # a pause came between
        return living

    def _renew(self) -> None:
        asked_at = time.monotonic()
        before = self._lease.term
        try:
            living = self._ask()
        except (DBAPIError, StoreUnavailable) as error:
            why = dialects.reason(error) if isinstance(error, DBAPIError) else str(error)
            log.warning("lease.not_renewed", why=why, held=before is not None)
            self._lock.close()
            self._lease.fail()
            return
        self._lease.renew(asked_at)
        if before is None:
            log.warning("lease.taken_again", servers=len(living))
        self._loop.call_soon_threadsafe(self._take_in, living)
