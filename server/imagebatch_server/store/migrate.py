"""Brings a database's schema up to date when the server starts.

A migration is a file `migrations/versions/v<revision>_<what>.py`, written after the example of the first one; a test
holds what the migrations make against what `tables` declares.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from imagebatch_server.store import dialects
from imagebatch_server.store.database import Database


class SchemaTooNew(Exception):
    """The database was migrated by a newer server."""


async def migrate(database: Database) -> None:
    """Run the migrations that are missing, one server at a time.

    Raises SchemaTooNew if the schema is one that this version does not know, StoreUnavailable.
    """
    await database.write(_migrate, timeout_s=None)


def _migrate(connection: Connection) -> None:
    dialects.lock_for_migration(connection)
    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))  # the option's text is a format
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        raise SchemaTooNew(
            f"the database's schema has revision {current}, which this version does not know: "
            "it was written by a newer Imagebatch; start that version, or restore a backup"
        )
    command.upgrade(config, "head")
