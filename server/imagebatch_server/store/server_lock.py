"""The lock on a PostgreSQL database; on SQLite the data folder's own lock does its work.

Servers that know of each other share it. Servers of versions before 0009's schema, which did not, and commands that
need the database for themselves have it alone.

It is an advisory lock of a session, which PostgreSQL gives free when the session ends, however that comes about. The
session needs a connection that leads straight to PostgreSQL: a pooler lends sessions to whoever comes. A server's
session has a second lock, of the server's own number, by which others see that it lives.
"""

from __future__ import annotations

import select
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import DBAPIError, OperationalError

from imagebatch_server.batches.errors import CannotStart, StoreUnavailable

log = structlog.get_logger(__name__)

KEY = {"space": 721_730, "number": 1_412}  # any two numbers that nothing else in the database locks

LIFE_SPACE = 721_731
"""The first key of the locks by which servers show that they live; the second is the server's number."""

_LOOKS = 3


class DatabaseInUse(CannotStart):
    """Another server works on the database, which one of the two needs alone."""


class NoDirectConnection(CannotStart):
    """The connection that is to hold the lock does not lead straight to the server's database."""


class ServerLock:
    """Held from `take` to `close`. Only one thread at a time may use it."""

    def __init__(self, engine: Engine, *, number: int | None = None) -> None:
        """`engine` makes connections that lead straight to PostgreSQL and commit each statement.

        With a `number`, which no other server has, the lock is shared with those that have theirs; without one, nobody
        else can have it.
        """
        self._engine = engine
        self._number = number
        self._kind = "" if number is None else "_shared"
        self._session: Connection | None = None
        self._holder: Row[Any] | None = None
        """The session that has the lock: `_session`, or an earlier one of ours that went silent."""
        self._has_it = False
        """Whether `_session` has the lock."""
        self._is_suspect = False

    def take(self, database: Connection) -> None:
        """Take the lock; `database` is a connection to the database that it is to guard.

        Raises DatabaseInUse, NoDirectConnection, DBAPIError.
        """
        session = self._session = self._engine.connect()
        process = session.execute(_OWN_PROCESS).scalar_one()
        if process != _driver_connection(session).info.backend_pid:
            raise NoDirectConnection(
                "a connection pooler stands before the database, and the server needs one connection that leads "
                "straight to it: give its URL as IMAGEBATCH_DATABASE_DIRECT_URL (--database-direct-url)"
            )
        try:
            session.execute(_WAIT[self._kind], KEY)  # for `lock_timeout`: who was killed may only be about to go
        except OperationalError as error:
            raise DatabaseInUse(self._in_use(session)) from error
        self._has_taken(session)
        if database.execute(_HOLDERS, KEY | {"process": process}).one_or_none() != self._holder:
            raise NoDirectConnection(
                "IMAGEBATCH_DATABASE_DIRECT_URL (--database-direct-url) leads to another database than "
                "IMAGEBATCH_DATABASE_URL (--database-url): name one database in both"
            )

    def suspect(self) -> None:
        """Ask the session before the lock is relied on again: another connection was lost."""
        self._is_suspect = True

    def is_lost(self) -> bool:
        """Whether its session has ended, so that nobody can tell that this server lives."""
        if self._session is None:
            return True
        if self._has_it and not self._is_suspect and not _has_news(self._session):
            return False
        if _answers(self._session):
            return not self._has_it
        log.warning("server_lock.lost")
        self.close()
        return True

    def hold(self) -> Connection:
        """Make sure that nobody has the lock alone, taking it again if its session has ended; answers the session.

        Raises StoreUnavailable if somebody took it meanwhile, DBAPIError if the database is away.
        """
        is_lost = self.is_lost()
        session = self._session = self._session or self._engine.connect()
        if is_lost:
            self._take_again(session)
        self._is_suspect = False
        return session

    def close(self) -> None:
        """Give the lock free."""
        self._has_it = False
        if self._session is not None:
            self._session.invalidate()
            self._session.close()
            self._session = None

    def _in_use(self, session: Connection) -> str:
        holder = session.execute(_HOLDERS, KEY | {"process": None}).first()
        who = "" if holder is None else f" ({holder.application_name})"
        if self._number is None:
            return f"another server{who} works on this database; stop all that do, or give another by --database-url"
        return (
            f"another server{who} works on this database and needs it alone: it is of a version that knows no others, "
            "or a command that runs while no server does; let it end, or give this server another by --database-url"
        )

    def _has_taken(self, session: Connection) -> None:
        if self._number is not None:
            session.execute(_SHOW_LIFE, {"space": LIFE_SPACE, "number": self._number})
        process = _driver_connection(session).info.backend_pid
        self._holder = session.execute(_HOLDERS, KEY | {"process": process}).one()
        self._has_it = True

    def _take_again(self, session: Connection) -> None:
        holder = None
        for _ in range(_LOOKS):
            if session.execute(_TRY[self._kind], KEY).scalar_one():
                self._has_taken(session)
                log.info("server_lock.taken_again")
                return
            holder = session.execute(_HOLDERS, KEY | {"process": None}).first()
            if holder is not None:
                break  # else it has ended between the two statements
        if self._number is not None or holder is None or holder != self._holder:
            raise StoreUnavailable("another server has taken the database while the connection to it was lost")
        # Our silent session still has it, so nobody else can. It is ended, and the next write takes its place.
        session.execute(_END, {"process": holder.pid})


def _driver_connection(session: Connection) -> Any:
    return session.connection.driver_connection


def _has_news(session: Connection) -> bool:
    """Whether PostgreSQL has sent something unasked, as it does when it ends a session."""
    readable, _, _ = select.select([_driver_connection(session)], [], [], 0)
    return bool(readable)


def _answers(session: Connection) -> bool:
    try:
        session.execute(_OWN_PROCESS)
    except DBAPIError:
        return False
    return True


_OWN_PROCESS = text("SELECT pg_backend_pid()")
_WAIT = {kind: text(f"SELECT pg_advisory_lock{kind}(:space, :number)") for kind in ("", "_shared")}
_TRY = {kind: text(f"SELECT pg_try_advisory_lock{kind}(:space, :number)") for kind in ("", "_shared")}
_SHOW_LIFE = _WAIT["_shared"]  # shared: an earlier session of ours that went silent may have it still
_END = text("SELECT pg_terminate_backend(:process)")
_HOLDERS = text("""
    SELECT pid, backend_start, application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND classid = :space AND objid = :number
        AND (CAST(:process AS integer) IS NULL OR pid = :process)
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")
