"""How large the database is."""

from __future__ import annotations

from sqlalchemy import Connection, text

_SIZE = {
    "sqlite": text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"),
    "postgresql": text("SELECT pg_database_size(current_database())"),
}


def size_bytes(connection: Connection) -> int:
    """Tell the size of the database, what it keeps free for later included."""
    size: int = connection.execute(_SIZE[connection.dialect.name]).scalar_one()
    return size
