"""Both databases by their drivers alone, as durable as ours: SQLite with FULL, PostgreSQL with synchronous_commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import psycopg
from sqlalchemy import Table, create_engine, insert, make_url
from sqlmodel import SQLModel

from benchmarks.bare import rows
from imagebatch_server.store.tables import batches, items, outcomes

ROWS_A_COMMIT = 1_000


class BareStore(Protocol):
    """Write rows, a durable transaction a call."""

    def now(self) -> Any:
        """Write a time as the driver stores it."""

    def insert(self, table: Table, values: Sequence[tuple[Any, ...]]) -> None:
        """Insert whole rows by the driver's fastest way, and commit."""

    def close(self) -> None:
        """End the connection."""


class BareSqlite:
    """sqlite3 and executemany."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")

    def now(self) -> Any:
        return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    def insert(self, table: Table, values: Sequence[tuple[Any, ...]]) -> None:
        places = ", ".join("?" * len(table.columns))
        self._connection.execute("BEGIN IMMEDIATE")
        insert = f"INSERT INTO {table.name} VALUES ({places})"  # noqa: S608 - a name of our own tables
        self._connection.executemany(insert, values)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


class BarePostgres:
    """psycopg and COPY, which is faster than its executemany."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self._connection = psycopg.connect(
            host=str(parsed.query["host"]), user=parsed.username, dbname=parsed.database, autocommit=True
        )
        self._connection.execute("SET synchronous_commit = on")

    def now(self) -> Any:
        return datetime.now(UTC)

    def insert(self, table: Table, values: Sequence[tuple[Any, ...]]) -> None:
        with (
            self._connection.transaction(),
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {table.name} FROM STDIN".encode()) as copy,
        ):
            for row in values:
                copy.write_row(row)

    def close(self) -> None:
        self._connection.close()


def open_store(url: str) -> BareStore:
    """Find the driver of an SQLAlchemy URL."""
    parsed = make_url(url)
    return BareSqlite(Path(parsed.database or "")) if parsed.get_backend_name() == "sqlite" else BarePostgres(url)


def create_tables(url: str) -> None:
    """Make the same tables and indexes as ours."""
    engine = create_engine(url)
    SQLModel.metadata.create_all(engine)
    engine.dispose()


def add_finished_batch(url: str, count: int, preview_object_keys: Sequence[str] = ()) -> str:
    """Put a finished batch into a database whose server is not running; answers its id.

    Its items take their previews of the stored objects in turn, if there are any.
    """
    previews: Sequence[str | None] = preview_object_keys or [None]
    batch_id = rows.new_batch_id()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(insert(batches), rows.batch_row(batch_id, count, datetime.now(UTC)))
    engine.dispose()
    store = open_store(url)
    at = store.now()
    for first in range(0, count, 10_000):
        indexes = range(first, min(count, first + 10_000))
        store.insert(items, [rows.item_row(batch_id, index) for index in indexes])
        store.insert(
            outcomes, [rows.outcome_row(batch_id, index, at, previews[index % len(previews)]) for index in indexes]
        )
    store.close()
    return batch_id
