"""Where SQL runs: one writer thread and a small pool of readers, off the event loop, on either database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.exc import DBAPIError

from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.store import dialects
from imagebatch_server.store.database_file import DatabaseFile
from imagebatch_server.store.server_lock import ServerLock
from imagebatch_server.store.silence import Silence
from imagebatch_server.threads import started

log = structlog.get_logger(__name__)

T = TypeVar("T")

READERS = 4
SILENT_FOR_S = dialects.STATEMENT_TIMEOUT_S + 5.0
"""A connection to PostgreSQL is given up after so long without an answer: its server ends statements before that."""

LEASE_SILENT_FOR_S = dialects.BUSY_TIMEOUT_S + 1.0
"""The connection of a server's lease is given up sooner: nothing long runs there, and others wait for the lease."""

CLOSE_GRACE_S = 0.5
ANSWER_TIMEOUT_S = 30.0
"""A database that hangs shows as one that is not available after this time."""


class Database:
    """Run functions of a connection, each in one transaction that is durable when it returns.

    The functions may be run a second time, on a new connection, if the first one was lost before the commit. Raises
    StoreUnavailable from both methods when the database is locked, full, gone, hanging or damaged.
    """

    def __init__(self, url: str, *, direct_url: str | None = None) -> None:
        """`direct_url` leads straight to the database where a connection pooler stands behind `url`."""
        self._silence = Silence(SILENT_FOR_S, self._forget_idle)
        self._lease_silence = Silence(LEASE_SILENT_FOR_S, self._forget_idle)
        self._writer_engine, self._reader_engine = dialects.engines(
            make_url(url), self._silence, readers=READERS, pooled=direct_url is not None
        )
        self._direct_url = make_url(direct_url or url)
        self._lock: ServerLock | None = None
        self._check: Callable[[], object] = _nothing
        """Makes sure that what is written is written for good: before each transaction, and after it."""
        if self._direct_url.get_backend_name() == "sqlite":
            self._check = DatabaseFile(Path(self._direct_url.database or "")).check
        self.on_transaction: Callable[[str, float, float], None] | None = None
        """Hears of each that has ended, in its thread: `read` or `write`, how long it waited and took (seconds)."""
        self._running: set[Future[Any]] = set()
        self._writer = started(1, "store-writer")
        self._readers = started(READERS, "store-reader")

    async def write(self, work: Callable[[Connection], T], *, timeout_s: float | None = ANSWER_TIMEOUT_S) -> T:
        """Run `work` in the writer thread; its transaction commits when it returns and rolls back when it raises.

        After StoreUnavailable it is unknown whether the transaction was committed, or will yet be.
        """
        return await self._answer(
            self._writer, "write", partial(_transact, self._writer_engine, self._check, work), timeout_s
        )

    async def change_schema(self, work: Callable[[Connection], T]) -> T:
        """Run `work` as `write` does, for as long as it takes; on PostgreSQL in a session of its own.

        It may commit there whenever it likes. The session leads straight to PostgreSQL, and ends with it.
        """
        engine = dialects.schema_engine(self._direct_url, self._silence)
        if engine is None:
            return await self.write(work, timeout_s=None)
        return await self._answer(self._writer, "write", partial(_in_own_session, engine, self._check, work), None)

    async def lock(self) -> None:
        """Have the database alone, until `close`; every later write makes sure that it is so still.

        Raises DatabaseInUse, NoDirectConnection, StoreUnavailable.
        """
        lock = await self._take_lock(None)
        if lock is not None:
            event.listen(self._writer_engine, "connect", lambda *_: lock.suspect())
            self._check = lock.hold

    async def lock_shared(self, number: int) -> ServerLock | None:
        """Have the database together with other servers that do so; answers the lock, None on SQLite, which needs none.

        The caller sees to it that it is held from then on, and closes it. `number` is the server's own. Raises
        DatabaseInUse, NoDirectConnection, StoreUnavailable.
        """
        return await self._take_lock(number)

    async def _take_lock(self, number: int | None) -> ServerLock | None:
        engine = dialects.lock_engine(self._direct_url, self._silence if number is None else self._lease_silence)
        if engine is None:
            return None
        lock = ServerLock(engine, number=number)
        try:
            await self.write(lock.take)
        except BaseException:
            lock.close()
            raise
        self._lock = lock
        return lock

    async def read(self, work: Callable[[Connection], T], *, timeout_s: float | None = ANSWER_TIMEOUT_S) -> T:
        """Run `work` in a reader thread, on one snapshot."""
        return await self._answer(
            self._readers, "read", partial(_transact, self._reader_engine, _nothing, work), timeout_s
        )

    def notifications(self, channel: str, every_s: float) -> AsyncGenerator[str | None, None]:
        """Listen to a channel, which needs PostgreSQL; see `dialects.notifications`."""
        return dialects.notifications(self._direct_url, channel, every_s)

    def close(self) -> None:
        """Give what runs a moment to end, break the rest off, and close every connection."""
        for threads in (self._writer, self._readers):
            threads.shutdown(wait=False, cancel_futures=True)
        running = wait(list(self._running), CLOSE_GRACE_S).not_done
        if running:  # else an interrupted SQLite would skip the checkpoint that closing makes
            self._silence.cut()
            self._lease_silence.cut()
        if wait(running, CLOSE_GRACE_S).not_done:
            log.error("database.not_closed")  # its threads hang in the operating system
            return
        if self._lock is not None:
            self._lock.close()
        self._reader_engine.dispose()
        self._writer_engine.dispose()
        self._silence.close()
        self._lease_silence.close()

    def _forget_idle(self) -> None:
        """Open new connections from here on: what made one go silent has often silenced all, each for its own time."""
        self._writer_engine.dispose()
        self._reader_engine.dispose()

    @property
    def transactions(self) -> int:
        """How many run, or wait for a thread."""
        return len(self._running)

    async def _answer(
        self, threads: ThreadPoolExecutor, kind: str, transaction: Callable[[], T], timeout_s: float | None
    ) -> T:
        running = threads.submit(self._timed, kind, transaction, time.perf_counter())
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(running)
        except TimeoutError:
            raise StoreUnavailable(f"the database has not answered for {timeout_s:.0f} s", may_pass=True) from None

    def _timed(self, kind: str, transaction: Callable[[], T], asked_at: float) -> T:
        began_at = time.perf_counter()
        try:
            return transaction()
        finally:
            if self.on_transaction is not None:
                self.on_transaction(kind, began_at - asked_at, time.perf_counter() - began_at)


def _nothing() -> None:
    """Check nothing: a reader needs no lock."""


def _in_own_session(engine: Engine, check: Callable[[], object], work: Callable[[Connection], T]) -> T:
    try:
        return _transact(engine, check, work)
    finally:
        engine.dispose()


def _transact(engine: Engine, check: Callable[[], object], work: Callable[[Connection], T]) -> T:
    try:
        return _attempt(engine, check, work, attempts=2)
    except DBAPIError as error:
        if dialects.is_defect(error):
            raise
        raise StoreUnavailable(dialects.reason(error), may_pass=dialects.may_pass(error)) from error


def _attempt(engine: Engine, check: Callable[[], object], work: Callable[[Connection], T], attempts: int) -> T:
    with engine.connect() as connection:
        check()
        try:
            result = work(connection)
        except DBAPIError as error:
            # A connection that died while it was idle shows here; nothing was committed, so a new one may try.
            if attempts == 1 or not error.connection_invalidated:
                raise
        else:
            connection.commit()
            check()
            return result
    return _attempt(engine, check, work, attempts - 1)
