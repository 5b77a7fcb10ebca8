"""Bring a database's schema up to date when the server starts.

A migration is a file `migrations/versions/v<revision>_<what>.py`, written after the example of the first one; a test
holds what the migrations make against what `tables` declares. One that makes an index on a table that is there already
does nothing else, and makes it by `migrations.indexes`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select

from imagebatch_server.batches.errors import CannotStart
from imagebatch_server.store import dialects
from imagebatch_server.store.database import Database
from imagebatch_server.store.tables import schema_bears

log = structlog.get_logger(__name__)

T = TypeVar("T")

LOOK_EVERY_S = 0.2
"""How often a server looks whether another one has migrated."""


class SchemaTooNew(CannotStart):
    """The database was migrated by a newer server, to what this one can't work with."""


async def migrate(database: Database, then: Callable[[Connection], T] | None = None) -> T | None:
    """Run the migrations that are missing, one server at a time, and `then` this.

    On SQLite that is one transaction. On PostgreSQL each migration is one, and `then` another: whoever is killed in
    between has done what is done, and the next start goes on from there.

    A schema that this version does not know is left as it is, if it says that it bears servers of this version, which
    so go on beside newer ones. Raises SchemaTooNew if it does not, StoreUnavailable.
    """

    def work(connection: Connection) -> T | None:
        _lock(connection)
        _migrate(connection)
        return None if then is None else then(connection)

    return await database.change_schema(work)


def _lock(connection: Connection) -> None:
    is_awaited = False
    while not dialects.try_lock_for_migration(connection):
        if not is_awaited:
            is_awaited = True
            log.info("schema.awaited")
        time.sleep(LOOK_EVERY_S)


def _migrate(connection: Connection) -> None:
    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))  # the option's text is a format
    config.attributes["connection"] = connection
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None or current in known:
        if connection.dialect.name == "postgresql":
            connection.commit()  # else all migrations would be part of this transaction, as they are on SQLite
        command.upgrade(config, "head")
        return
    oldest = connection.execute(select(schema_bears.c.oldest_revision)).scalar_one()
    if max(known) < oldest:
        raise SchemaTooNew(
            f"the database's schema has revision {current}, which bears servers from revision {oldest} on, and this "
            f"version knows no more than {max(known)}: it was written by a newer Imagebatch; start that version, or "
            "restore a backup"
        )
    log.warning("schema.newer", revision=current, known=max(known))
