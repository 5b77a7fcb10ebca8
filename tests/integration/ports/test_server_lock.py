"""The lock on a PostgreSQL database: had alone or shared, and kept through troubles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
from sqlalchemy import Connection, make_url
from structlog.testing import capture_logs
from tests.postgres import PostgresServer, own_server, pooled
from tests.server import free_port

from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.store import dialects
from imagebatch_server.store.database import Database
from imagebatch_server.store.migrate import migrate
from imagebatch_server.store.server_lock import DatabaseInUse, NoDirectConnection

pytestmark = pytest.mark.postgres

LOCKS = """
    SELECT pid FROM pg_locks JOIN pg_database ON oid = database
    WHERE locktype = 'advisory' AND granted AND datname = current_database()
"""


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Databases opened in this test wait only shortly for locks."""
    monkeypatch.setattr(dialects, "BUSY_TIMEOUT_S", 0.05)


def processes(connection: Connection) -> list[int]:
    """PostgreSQL's processes that hold the lock."""
    return list(connection.exec_driver_sql(LOCKS).scalars())


def nothing(connection: Connection) -> None:
    """Write as anyone else would."""


def end(url: str, process: int) -> None:
    """End one of PostgreSQL's processes, as an administrator does or a crash."""
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 10000)", [process])


async def test_a_second_server_is_told_who_has_the_database(
    impatient: None, open_database: Callable[[], Database]
) -> None:
    first, second = open_database(), open_database()
    await first.lock()
    with pytest.raises(DatabaseInUse, match=r"another server \(imagebatch on .*, process \d+\) works on this database"):
        await second.lock()
    await first.write(nothing)
    first.close()
    await second.lock()


async def test_servers_that_share_keep_off_who_wants_it_alone_and_are_kept_off(
    impatient: None, open_database: Callable[[], Database]
) -> None:
    one, two, alone = open_database(), open_database(), open_database()
    await one.lock_shared(1)
    await two.lock_shared(2)
    one.close()
    with pytest.raises(DatabaseInUse, match=r"another server \(imagebatch on .*; stop all that do"):
        await alone.lock()
    two.close()
    await alone.lock()
    with pytest.raises(DatabaseInUse, match=r"needs it alone: it is of a version that knows no others"):
        await open_database().lock_shared(3)


async def test_servers_on_two_databases_do_not_meet(
    open_database: Callable[[], Database], postgres: PostgresServer
) -> None:
    await open_database().lock()
    other_url = postgres.create_database()
    other = Database(other_url)
    await other.lock()
    other.close()
    postgres.drop_database(other_url)


async def test_a_lock_whose_session_ended_is_taken_again_before_the_next_write(
    impatient: None, open_database: Callable[[], Database], url: str
) -> None:
    first, second = open_database(), open_database()
    await first.lock()
    (before,) = await first.read(processes)
    end(url, before)
    with capture_logs() as logs:
        await first.write(nothing)
    assert [line["event"] for line in logs] == ["server_lock.lost", "server_lock.taken_again"]
    (after,) = await first.read(processes)
    assert after != before
    with pytest.raises(DatabaseInUse):
        await second.lock()


async def test_a_server_whose_lock_was_taken_by_another_writes_nothing_until_it_is_free_again(
    open_database: Callable[[], Database], url: str
) -> None:
    first, second = open_database(), open_database()
    await first.lock()
    (before,) = await first.read(processes)
    end(url, before)
    await second.lock()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="another server has taken the database"):
            await first.write(nothing)
    await second.write(nothing)
    second.close()
    async with asyncio.timeout(10):  # PostgreSQL frees the lock when it comes to notice that the session is gone
        while not await took(first):
            pass


async def took(database: Database) -> bool:
    try:
        await database.write(nothing)
    except StoreUnavailable:
        return False
    return True


@pytest.fixture
async def broken_server() -> AsyncIterator[PostgresServer]:
    with own_server() as server:
        yield server


async def test_a_postgres_that_stops_and_starts_is_locked_again(broken_server: PostgresServer) -> None:
    database = Database(broken_server.create_database())
    await database.lock()
    broken_server.stop_immediate()
    with pytest.raises(StoreUnavailable):
        await database.write(nothing)
    broken_server.start()
    await database.write(nothing)
    assert len(await database.read(processes)) == 1
    database.close()


async def test_a_direct_url_to_another_database_is_refused(url: str, postgres: PostgresServer) -> None:
    other_url = postgres.create_database()
    database = Database(url, direct_url=other_url)
    with pytest.raises(NoDirectConnection, match=r"DIRECT_URL .* leads to another database"):
        await database.lock()
    database.close()
    postgres.drop_database(other_url)


@pytest.mark.pgbouncer
async def test_behind_a_pooler_a_direct_url_is_asked_for_and_used(
    impatient: None, url: str, postgres: PostgresServer
) -> None:
    with pooled(postgres, url, free_port()) as pooled_url:
        without = Database(pooled_url)
        with pytest.raises(NoDirectConnection, match="IMAGEBATCH_DATABASE_DIRECT_URL"):
            await without.lock()
        without.close()
        first, second = Database(pooled_url, direct_url=url), Database(url)
        await first.lock()
        await migrate(first)
        for _ in range(10):  # more often than a statement is run before it is prepared
            await first.write(isolation)
        assert await first.write(isolation) == "read committed"
        assert await first.read(isolation) == "repeatable read"
        with pytest.raises(DatabaseInUse):
            await second.lock()
        first.close()
        second.close()


def isolation(connection: Connection) -> str:
    isolated: str = connection.exec_driver_sql("SHOW transaction_isolation").scalar_one()
    return isolated
