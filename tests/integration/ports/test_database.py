"""What the store does when its database is locked, full, hanging, damaged or gone, and when it comes back."""

from __future__ import annotations

import itertools
import os
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from tests.integration.ports.values import TENANT, at, commit, created, items, made, new_batch, options, record, success
from tests.postgres import PostgresServer, own_server
from tests.unit.batches.samples import allowing

from imagebatch_server.batches.errors import BatchNotFound, StoreUnavailable
from imagebatch_server.batches.model import BatchFilter
from imagebatch_server.store import dialects, results
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.migrate import migrate
from imagebatch_server.store.outcomes import SqlOutcomeStore


def answer(connection: Connection, question: str) -> Any:
    return connection.exec_driver_sql(question).scalar()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Databases opened in this test wait only shortly for locks."""
    monkeypatch.setattr(dialects, "BUSY_TIMEOUT_S", 0.05)


@pytest.fixture
def broken_server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server of the test's own."""
    with own_server() as server:
        yield server


async def test_a_mistake_of_ours_is_not_taken_for_a_fault_of_the_database(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 2)
    await record(outcomes, batch, success(0))
    with pytest.raises(IntegrityError) as raised:
        await outcomes.record([commit(batch, [success(0)])], at(2), recheck=False)
    assert batch.batch_id not in str(raised.value).partition("DETAIL")[0]


async def test_a_database_that_hangs_is_not_available(batches: SqlBatchStore, database: Database) -> None:
    going_on = threading.Event()
    try:
        for method in (database.write, database.read):
            with pytest.raises(StoreUnavailable, match="has not answered for"):
                await method(lambda _: going_on.wait(), timeout_s=0.05)
        with pytest.raises(StoreUnavailable):
            await database.write(lambda _: None, timeout_s=0.05)  # waits behind the one that hangs
    finally:
        going_on.set()
    assert (await made(batches, 1)).total_items == 1


async def test_readers_can_not_write(batches: SqlBatchStore, database: Database) -> None:
    await made(batches, 1)
    with pytest.raises(StoreUnavailable, match=r"read-?only"):
        await database.read(lambda connection: connection.exec_driver_sql("DELETE FROM batches").rowcount)


async def test_commits_on_sqlite_are_synced(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    assert await database.write(lambda connection: answer(connection, "PRAGMA synchronous")) == 2
    assert await database.write(lambda connection: answer(connection, "PRAGMA journal_mode")) == "wal"
    database.close()


async def test_a_locked_sqlite_database_is_waited_for_and_then_not_available(
    impatient: None, sqlite_url: str, tmp_path: Path
) -> None:
    database = Database(sqlite_url)
    await migrate(database)
    batches = SqlBatchStore(database, owner="one", quotas=allowing(9))
    new = new_batch()
    lock = sqlite3.connect(tmp_path / "imagebatch.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="database is locked; try again"):
        await created(batches, new, items(1))
    with pytest.raises(BatchNotFound):
        await batches.get(TENANT, new.batch_id)  # readers don't wait for writers
    lock.execute("ROLLBACK")
    assert (await created(batches, new, items(1))).batch_id == new.batch_id
    lock.close()
    database.close()


async def test_a_transaction_on_sqlite_takes_its_lock_before_it_reads(sqlite_url: str, tmp_path: Path) -> None:
    """Else one that writes after another one has committed would fail, however long it waited."""
    database = Database(sqlite_url)
    await migrate(database)

    def read_then_write(connection: Connection) -> None:
        assert answer(connection, "SELECT count(*) FROM batches") == 0
        other = sqlite3.connect(tmp_path / "imagebatch.db", isolation_level=None, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("DELETE FROM batches")
        other.close()
        connection.exec_driver_sql("DELETE FROM items")

    await database.write(read_then_write)
    database.close()


async def test_a_full_sqlite_database_takes_nothing_and_goes_on_when_there_is_room(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    await migrate(database)
    batches = SqlBatchStore(database, owner="one", quotas=allowing(9))
    outcomes = SqlOutcomeStore(database, max_read_bytes=10**9)
    batch = await made(batches, 3)
    most = await database.write(lambda connection: answer(connection, "PRAGMA max_page_count"))
    pages = await database.write(lambda connection: answer(connection, "PRAGMA page_count"))
    await database.write(lambda connection: answer(connection, f"PRAGMA max_page_count = {pages}"))
    big = success(0, bytes(200_000))
    with pytest.raises(StoreUnavailable, match="full"):
        await outcomes.record([commit(batch, [big])], at(1), recheck=False)
    with pytest.raises(StoreUnavailable, match="full"):
        await made(batches, 10_000, options(request_id="r"))
    assert await batches.get(TENANT, batch.batch_id) == batch
    await database.write(lambda connection: answer(connection, f"PRAGMA max_page_count = {most}"))
    (recorded,) = await outcomes.record([commit(batch, [big])], at(2), recheck=True)
    assert recorded is not None
    assert recorded.last_sequence == 1
    assert (await made(batches, 10_000, options(request_id="r"))).total_items == 10_000
    database.close()


async def test_a_file_that_is_no_database_is_not_available(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "imagebatch.db").write_bytes(b"this is no database " * 1_000)
    database = Database(sqlite_url)
    with pytest.raises(StoreUnavailable, match="not a database, restore it from a backup, and leave the images"):
        await migrate(database)
    database.close()


async def test_a_damaged_sqlite_database_is_not_available(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(sqlite_url)
    await migrate(database)
    batch = await made(SqlBatchStore(database, owner="one", quotas=allowing(9)), 5_000)
    database.close()  # writes everything from the log into the file
    file = tmp_path / "imagebatch.db"
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    database = Database(sqlite_url)
    batches = SqlBatchStore(database, owner="one", quotas=allowing(9))
    for read in (batches.get(TENANT, batch.batch_id), batches.pending_items(TENANT, batch.batch_id, -1, 5_000)):
        with pytest.raises(StoreUnavailable, match="restore the database from a backup, and leave the images"):
            await read
    with pytest.raises(StoreUnavailable, match="restore the database from a backup, and leave the images"):
        await made(batches, 5)
    database.close()


@pytest.mark.postgres
async def test_what_goes_wrong_while_rows_are_fetched_is_the_databases_fault_too(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    await migrate(database)
    batch = await made(SqlBatchStore(database, owner="one", quotas=allowing(9)), 200)

    def interrupted(connection: Connection) -> None:
        steps = itertools.count()
        driver_connection: Any = connection.connection.driver_connection
        driver_connection.set_progress_handler(lambda: next(steps) > 1_000, 1)  # SQLite gives the first row in 100
        results.at_indexes(connection, (batch.tenant, batch.batch_id), range(200), 1_000_000)

    with pytest.raises(StoreUnavailable, match="interrupted"):
        await database.read(interrupted)
    database.close()


async def test_commits_on_postgres_are_synced_and_reads_are_snapshots(
    postgres: PostgresServer, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        name = connection.info.dbname
        for setting in ("synchronous_commit = off", "default_transaction_isolation = serializable"):
            connection.execute(f"ALTER DATABASE {name} SET {setting}".encode())
    database = Database(postgres_url)
    expected = {
        database.write: {"synchronous_commit": "on", "transaction_isolation": "read committed"},
        database.read: {"transaction_isolation": "repeatable read", "transaction_read_only": "on"},
    }
    application = f"imagebatch on {socket.gethostname()}, process {os.getpid()}"
    for method, settings in expected.items():
        for setting, value in {**settings, "application_name": application, "statement_timeout": "25s"}.items():
            assert await method(partial(answer, question=f"SHOW {setting}")) == value
    database.close()


@pytest.mark.postgres
async def test_a_locked_postgres_row_is_waited_for_and_then_not_available(impatient: None, postgres_url: str) -> None:
    database = Database(postgres_url)
    await migrate(database)
    batches = SqlBatchStore(database, owner="one", quotas=allowing(9))
    batch = await made(batches, 1)
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as lock:
        lock.execute("SELECT * FROM batches FOR UPDATE")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            await batches.request_cancel(TENANT, batch.batch_id, at(1))
        assert await batches.get(TENANT, batch.batch_id) == batch
    assert (await batches.request_cancel(TENANT, batch.batch_id, at(2))).cancel_requested_at == at(2)
    database.close()


@pytest.mark.postgres
async def test_connections_that_died_while_idle_are_replaced_unnoticed(postgres_url: str) -> None:
    database = Database(postgres_url)
    await migrate(database)
    batches = SqlBatchStore(database, owner="one", quotas=allowing(9))
    batch = await made(batches, 1)
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        for use in (
            partial(batches.get, TENANT, batch.batch_id),
            partial(batches.request_cancel, TENANT, batch.batch_id, at(2)),
        ):
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'imagebatch on %'"
            ).fetchall()
            assert ended
            assert (await use()).batch_id == batch.batch_id
    database.close()


@pytest.mark.postgres
async def test_a_connection_that_dies_under_way_loses_the_whole_transaction(postgres_url: str) -> None:
    database = Database(postgres_url)
    await migrate(database)
    batches = SqlBatchStore(database, owner="one", quotas=allowing(9))
    outcomes = SqlOutcomeStore(database, max_read_bytes=10**9)
    batch = await made(batches, 2)
    tries = 0

    def cut(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        connection.exec_driver_sql("UPDATE batches SET last_sequence = 7")
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(StoreUnavailable, match="terminating connection"):
        await database.write(cut)
    assert tries == 2
    assert await batches.get(TENANT, batch.batch_id) == batch
    assert (await record(outcomes, batch, success(0))).last_sequence == 1
    database.close()


@pytest.mark.postgres
async def test_a_postgres_that_stops_and_starts_is_used_again(broken_server: PostgresServer) -> None:
    database = Database(broken_server.create_database())
    await migrate(database)
    batches = SqlBatchStore(database, owner="one", quotas=allowing(9))
    outcomes = SqlOutcomeStore(database, max_read_bytes=10**9)
    batch = await made(batches, 5)
    for round_number in range(3):
        kept = await record(outcomes, batch, success(round_number))
        broken_server.stop_immediate()
        with pytest.raises(StoreUnavailable, match="connect"):
            await outcomes.record([commit(batch, [success(round_number + 1)])], at(2), recheck=False)
        with pytest.raises(StoreUnavailable, match="connect"):
            await batches.list(TENANT, BatchFilter(), 10, None)
        broken_server.start()
        assert list(await batches.list(TENANT, BatchFilter(), 10, None)) == [kept]
    database.close()


@pytest.mark.postgres
async def test_a_postgres_that_is_not_there_is_not_available(tmp_path: Path) -> None:
    database = Database(f"postgresql+psycopg://nobody@/nothing?host={tmp_path}")
    with pytest.raises(StoreUnavailable, match="no connection to PostgreSQL: No such file") as raised:
        await migrate(database)
    assert str(tmp_path) not in str(raised.value), "callers see this"
    database.close()


def test_a_driver_that_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreUnavailable, match=r"psycopg.*pip install 'imagebatch\[postgres\]'"):
        Database("postgresql+psycopg://somebody@localhost/something")
