"""Where SQL runs: one writer thread and a small pool of readers, off the event loop, on either database.

All that differs between SQLite and PostgreSQL stands here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.pool import QueuePool

from imagebatch_server.batches.errors import StoreUnavailable

T = TypeVar("T")

READERS = 4
BUSY_TIMEOUT_S = 5.0


class Database:
    """Runs functions of a connection, each in one transaction that is durable when it returns.

    Raises StoreUnavailable from both methods when the database is locked, full, gone or damaged.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.engine = _engine(url, size=1)
        self._readers_engine = _engine(url, size=READERS)
        if self.is_sqlite:
            _prepare_sqlite(self.engine, begin="BEGIN IMMEDIATE", read_only=False)
            _prepare_sqlite(self._readers_engine, begin="BEGIN", read_only=True)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-writer")
        self._readers = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="store-reader")

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in the writer thread; its transaction commits when it returns and rolls back when it raises."""
        return await self._run(self._writer, self.engine, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a reader thread, on one snapshot."""
        return await self._run(self._readers, self._readers_engine, work)

    async def _run(self, threads: ThreadPoolExecutor, engine: Engine, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, _transact, engine, work)

    def close(self) -> None:
        """Wait for what runs, then close every connection."""
        self._writer.shutdown()
        self._readers.shutdown()
        self._readers_engine.dispose()
        self.engine.dispose()


def _transact(engine: Engine, work: Callable[[Connection], T]) -> T:
    try:
        with engine.begin() as connection:
            return work(connection)
    except (IntegrityError, ProgrammingError):
        raise  # a defect of ours, not the database's state
    except DBAPIError as error:
        raise StoreUnavailable(str(error.orig).strip()) from error


def _engine(url: str, size: int) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        arguments: dict[str, Any] = {"check_same_thread": False, "timeout": BUSY_TIMEOUT_S, "cached_statements": 256}
        return create_engine(parsed, poolclass=QueuePool, pool_size=size, max_overflow=0, connect_args=arguments)
    # REPEATABLE READ gives readers one snapshot a page; the writer's row locks order its commits under either level.
    return create_engine(
        parsed,
        pool_size=size,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={"options": "-c synchronous_commit=on", "connect_timeout": 5},
    )


def _prepare_sqlite(engine: Engine, *, begin: str, read_only: bool) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins no transaction by itself; `begin` below does
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA temp_store = MEMORY")
        cursor.execute(f"PRAGMA query_only = {'ON' if read_only else 'OFF'}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        # A deferred transaction that upgrades to writing fails at once, whatever the timeout.
        connection.exec_driver_sql(begin)
