"""Brings a database's schema up to date when the server starts."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from imagebatch_server.store.database import Database

MIGRATION_LOCK = 7_217_301_411  # any number that nothing else in the database locks


class SchemaTooNew(Exception):
    """The database was migrated by a newer server."""


async def migrate(database: Database) -> None:
    """Run the migrations that are missing, one server at a time.

    Raises SchemaTooNew if the schema is one that this version does not know, StoreUnavailable.
    """
    await database.write(_migrate)


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        raise SchemaTooNew(
            f"the database's schema has revision {current}, which this version does not know: "
            "it was written by a newer Imagebatch; start that version, or restore a backup"
        )
    command.upgrade(config, "head")
