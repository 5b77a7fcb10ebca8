"""Giving space that deleted rows left in an SQLite file back to the file system; PostgreSQL does so by itself."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

INCREMENTAL = 2
"""SQLite's number of the mode in which a file can shrink a step at a time; databases before 0.2 don't have it."""

KEPT_FREE_BYTES = 16 * 1024 * 1024
"""So much stays in the file for the rows to come."""

PAGES_A_STEP = 2_000


def give_back(connection: Connection) -> int:
    """Shrink the file by one step; answers by how many bytes, 0 when there is nothing more to give back."""
    if connection.dialect.name != "sqlite" or _number(connection, "auto_vacuum") != INCREMENTAL:
        return 0
    page_bytes = _number(connection, "page_size")
    pages = min(_number(connection, "freelist_count") - KEPT_FREE_BYTES // page_bytes, PAGES_A_STEP)
    if pages <= 0:
        return 0
    before = _number(connection, "page_count")
    driver_connection: Any = connection.connection.driver_connection
    # It frees a page for each row that is asked for, and SQLAlchemy would ask for none.
    driver_connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
    return (before - _number(connection, "page_count")) * page_bytes


def compact(path: Path) -> tuple[int, int]:
    """Write an SQLite file anew without free space, so that it can shrink by steps from then on; nobody may use it.

    Answers its bytes before and after. Raises sqlite3.Error, such as when the disk has no room for a second copy.
    """
    before = path.stat().st_size
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    return before, path.stat().st_size


def _number(connection: Connection, pragma: str) -> int:
    value: int = connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()
    return value
