"""Indexes on tables that are there already, and that servers write to meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alembic import op
from sqlalchemy import Connection, TextClause, text


def create_index_concurrently(name: str, table: str, columns: Sequence[str | TextClause], **options: Any) -> None:
    """Make an index, as `op.create_index` does, and on PostgreSQL keep nobody from writing to the table meanwhile.

    PostgreSQL allows it in no transaction. So the migration that asks for it does nothing else: when it is killed, it
    runs again. An index that was finished is then found; one that was not is of no use, and is made anew.
    """
    if op.get_bind().dialect.name == "sqlite":
        op.create_index(name, table, columns, **options)
        return
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        before = connection.execute(text("SHOW lock_timeout")).scalar_one()
        connection.execute(text("SET lock_timeout = 0"))  # it waits for all who have begun, and holds up nobody
        if _is_unfinished(connection, name):
            op.drop_index(name, table, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, if_not_exists=True, **options)
        connection.execute(text(f"SET lock_timeout = '{before}'"))


def _is_unfinished(connection: Connection, name: str) -> bool:
    return connection.execute(_UNFINISHED, {"name": name}).first() is not None


_UNFINISHED = text("SELECT FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")
