"""What differs between SQLite and PostgreSQL: connections, transactions, and what errors mean."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, ProgrammingError
from sqlalchemy.pool import QueuePool

from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.store import driver
from imagebatch_server.store.silence import Silence
from imagebatch_server.store.tables import UtcDateTime

INSERTS: dict[str, Callable[..., Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""By dialect, `insert` that knows ON CONFLICT."""

BUSY_TIMEOUT_S = 5
CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 25
DEAD_PEER_S = 15
"""After so long without an answer a connection, and what its transaction holds in the server, is given up."""

KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 2}
"""Which find within `DEAD_PEER_S` that an idle connection leads nowhere any more; at both ends, in seconds."""

LOG_BYTES_KEPT = 64 * 1024 * 1024
"""SQLite's log is cut back to this size when one large transaction, such as a retry, has swollen it."""

_WHERE = re.compile(
    r'(connection is bad: )?connection to server (on socket "[^"]*"|at "[^"]*"( \([^)]*\))?, port \d+) failed: '
)
"""Where PostgreSQL was looked for: none of the business of callers, to whom reasons go. The operator has set it."""

_REMEDIES = {
    "malformed": "restore the database from a backup, and leave the images where they are",
    "not a database": "restore it from a backup, and leave the images where they are; to begin anew, move the whole "
    "data folder away, images included",
    "is full": "free some space",
}
"""What helps beyond trying again, by words of SQLite."""

_SET_UP_OTHERWISE = (
    "authentication",
    "does not exist",
    "pg_hba.conf",
    "password",
    "permission denied",
    "unable to open",
)
"""Words of databases that no waiting will make reachable."""

_TIME = UtcDateTime()

MIGRATION_LOCK = 7_217_301_411  # any number that nothing else in the database locks
MIGRATION_LOCK_TIMEOUT_S = 1


def engines(url: URL, silence: Silence, *, readers: int, pooled: bool) -> tuple[Engine, Engine]:
    """Make an engine with one connection that writes, and one with `readers` connections that only read snapshots.

    `pooled`: whether a connection pooler stands before PostgreSQL, which may change sessions between transactions.
    Raises StoreUnavailable where PostgreSQL's driver is not installed.
    """
    if url.get_backend_name() == "sqlite":
        return (
            _sqlite_engine(url, silence, size=1, writes=True),
            _sqlite_engine(url, silence, size=readers, writes=False),
        )
    return (
        _postgres_engine(url, silence, size=1, isolation="READ COMMITTED", read_only=False, pooled=pooled),
        _postgres_engine(url, silence, size=readers, isolation="REPEATABLE READ", read_only=True, pooled=pooled),
    )


def lock_engine(url: URL, silence: Silence) -> Engine | None:
    """Make an engine for `ServerLock`; None on SQLite, which needs none."""
    if url.get_backend_name() == "sqlite":
        return None
    return _postgres_engine(url, silence, size=1, isolation="AUTOCOMMIT", read_only=False, pooled=False)


async def notifications(url: URL, channel: str, every_s: float) -> AsyncGenerator[str | None, None]:
    """Listen to a channel of PostgreSQL, by a connection of its own, and yield payloads as they come.

    None comes as soon as it listens, and every `every_s` seconds. Raises StoreUnavailable when the connection is lost.
    """
    import psycopg

    _, named = url.get_dialect()().create_connect_args(url)
    try:
        async with await psycopg.AsyncConnection.connect(**{**named, **_session(url)}, autocommit=True) as connection:
            await connection.execute(f"LISTEN {channel}".encode())
            while True:
                yield None
                async for notification in connection.notifies(timeout=every_s):
                    yield notification.payload
    except psycopg.Error as error:
        raise StoreUnavailable(str(error).splitlines()[0], may_pass=True) from error


def time_value(connection: Connection, at: datetime) -> Any:
    """Write a time as the driver stores it."""
    processor = _TIME.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return at if processor is None else processor(at)


def schema_engine(url: URL, silence: Silence) -> Engine | None:
    """Make an engine for migrations, whose session is for them alone; None on SQLite, where the writer's will do."""
    if url.get_backend_name() == "sqlite":
        return None
    return _postgres_engine(url, silence, size=1, isolation="READ COMMITTED", read_only=False, pooled=False)


def try_lock_for_migration(connection: Connection) -> bool:
    """Let one server at a time migrate, until its session ends; however long its statements take, but for locks.

    Nobody waits in the database for this: a statement that waits has a snapshot, and an index that is being made
    concurrently waits for all older ones. On SQLite the writer's transaction does it.
    """
    if connection.dialect.name == "sqlite":
        return True
    driver_connection: Any = connection.connection.driver_connection
    driver_connection.is_patient = True
    connection.execute(text("SET statement_timeout = 0"))
    # Whoever waits for a table stops all who come after. So it waits for little, and the start tries again.
    connection.execute(text(f"SET lock_timeout = '{MIGRATION_LOCK_TIMEOUT_S}s'"))
    has_it: bool = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK}).scalar_one()
    connection.commit()
    return has_it


def is_defect(error: DBAPIError) -> bool:
    """Whether the error is our own mistake rather than the database's state."""
    return isinstance(error, (IntegrityError, ProgrammingError, DataError, InterfaceError))


def may_pass(error: DBAPIError) -> bool:
    """Whether waiting may help: the database is locked, away or starting, not damaged or set up otherwise."""
    return not any(words in str(error.orig) for words in (*_REMEDIES, *_SET_UP_OTHERWISE))


def reason(error: DBAPIError) -> str:
    """Say what the database says is wrong, in one line."""
    diagnosis = getattr(error.orig, "diag", None)  # of PostgreSQL, where its server has answered
    lines = str(getattr(diagnosis, "message_primary", None) or error.orig).strip().splitlines()
    said = _WHERE.sub("no connection to PostgreSQL: ", lines[0]) if lines else type(error.orig).__name__
    remedy = next((remedy for words, remedy in _REMEDIES.items() if words in said), None)
    return said if remedy is None else f"{said}, {remedy}"


def _sqlite_engine(url: URL, silence: Silence, *, size: int, writes: bool) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        hide_parameters=True,  # error messages go to the log, and URLs carry secrets
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_S, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        silence.add(connection)
        connection.isolation_level = None  # the driver begins no transaction by itself; `begin` below does
        connection.execute("PRAGMA temp_store = MEMORY")  # no files outside of the data folder
        if writes:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file: before its first page is written
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES_KEPT}")
        else:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A deferred transaction that upgrades to writing fails at once, whatever the timeout.
        driver.execute(connection, "BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres_engine(
    url: URL, silence: Silence, *, size: int, isolation: IsolationLevel, read_only: bool, pooled: bool
) -> Engine:
    try:
        import psycopg  # an extra: servers on SQLite do without
    except ImportError as error:
        raise StoreUnavailable(f"{error}: pip install 'imagebatch[postgres]'") from error

    class BinaryCursor(psycopg.Cursor[Any]):
        """Ask for results in binary, which halves the time to read pages of outputs.

        For readers alone: migrations may look at PostgreSQL's catalogue, some of whose types have no binary form.
        """

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.format = psycopg.pq.Format.BINARY

    class WatchedConnection(psycopg.Connection[Any]):
        """Gives up a PostgreSQL that has gone silent."""

        is_patient = False

        def wait(self, *arguments: Any, **named: Any) -> Any:
            with silence.waiting(self, patiently=self.is_patient):
                return super().wait(*arguments, **named)

    arguments = {
        **_session(url),
        "cursor_factory": BinaryCursor if read_only else psycopg.Cursor,
        **({"prepare_threshold": None} if pooled else {}),  # a statement is prepared in one session only
    }
    engine = create_engine(
        url, pool_size=size, max_overflow=0, hide_parameters=True, connect_args=arguments, isolation_level=isolation
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, named: Any) -> Any:
        silence.ensure_open()
        return WatchedConnection.connect(*arguments, **named)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.read_only = read_only  # said with each BEGIN, as the isolation is, so that poolers hand it on

    return engine


def _session(url: URL) -> dict[str, Any]:
    """Say how every session with PostgreSQL is set up, as arguments of its driver."""
    settings = {
        "synchronous_commit": "on",
        "lock_timeout": f"{BUSY_TIMEOUT_S}s",
        "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
        # A server that vanished must not keep the rows of its batches locked.
        "idle_in_transaction_session_timeout": f"{DEAD_PEER_S}s",
        "tcp_user_timeout": f"{DEAD_PEER_S}s",
        **{f"tcp_{name}": str(value) for name, value in KEEPALIVES.items()},
        "timezone": "UTC",
        "jit": "off",  # compiling costs more than any of these queries
    }
    options = [str(url.query.get("options", ""))]
    options += [f"-c {name}={value}" for name, value in settings.items()]
    return {
        "application_name": f"imagebatch on {socket.gethostname()}, process {os.getpid()}",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "tcp_user_timeout": DEAD_PEER_S * 1000,
        **KEEPALIVES,
        "options": " ".join(options).strip(),
    }
