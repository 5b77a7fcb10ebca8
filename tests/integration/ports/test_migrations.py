"""The schema: what the migrations make is what the tables declare, whoever runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, event
from sqlmodel import SQLModel
from structlog.testing import capture_logs
from tests.postgres import PostgresServer

from imagebatch_server.store import migrations
from imagebatch_server.store.database import Database
from imagebatch_server.store.migrate import SchemaTooNew, migrate

MIGRATE = """
import asyncio, sys
from imagebatch_server.store.database import Database
from imagebatch_server.store.migrate import migrate
database = Database(sys.argv[1])
sys.stdin.readline()
asyncio.run(migrate(database))
"""

STEP = "UPDATE alembic_version"
"""What ends a migration."""
CHANGES = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE")

SCHEMA = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE tbl_name <> 'alembic_version'",
    "postgresql": """
        SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
        UNION SELECT table_name || '.' || column_name, concat_ws(' ', data_type, is_nullable, column_default)
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
    """,
}


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """Make an empty database."""
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


def schema(connection: Connection) -> dict[str, str]:
    """Every table, column and index, predicates and all, in the database's own words."""
    found = connection.exec_driver_sql(SCHEMA[connection.dialect.name]).all()
    return {name: re.sub(r"\s+", " ", sql or "") for name, sql in found}


def declare(connection: Connection) -> None:
    SQLModel.metadata.create_all(connection)


async def test_migrations_make_what_the_tables_declare(
    database: Database, url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), SQLModel.metadata))

    assert await database.write(differences) == []
    if url.startswith("sqlite"):
        declared_url = f"sqlite:///{tmp_path / 'declared.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        declared_url = server.create_database()
    declared = Database(declared_url)
    await declared.write(declare)
    migrated = await database.read(schema)
    assert len(migrated) > 10
    assert migrated == await declared.read(schema)
    declared.close()


async def test_migrating_again_changes_nothing(database: Database) -> None:
    before = await database.read(schema)
    await migrate(database)
    assert await database.read(schema) == before


@pytest.mark.postgres
async def test_no_migration_keeps_writers_from_a_table_that_is_there(postgres_url: str) -> None:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(" ".join(statement.split()))

    database = Database(postgres_url)
    event.listen(Engine, "before_cursor_execute", note)
    try:
        await migrate(database)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
        database.close()
    assert blocking(statements) == []
    assert any(statement.startswith("CREATE INDEX CONCURRENTLY") for statement in statements)


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["CREATE TABLE a (b INTEGER)", "CREATE INDEX c ON a (b)", STEP], []),
        (["CREATE TABLE a (b INTEGER)", STEP, "CREATE INDEX c ON a (b)", STEP], ["CREATE INDEX c ON a (b)"]),
        (["CREATE TABLE a (b INTEGER)", STEP, "CREATE UNIQUE INDEX c ON a (b)"], ["CREATE UNIQUE INDEX c ON a (b)"]),
        (["CREATE TABLE a (b INTEGER)", STEP, "CREATE INDEX CONCURRENTLY IF NOT EXISTS c ON a (b)", STEP], []),
        (
            ["CREATE TABLE a (b INTEGER)", STEP, "ALTER TABLE a ADD d INTEGER", "CREATE INDEX CONCURRENTLY c ON a (d)"],
            ["ALTER TABLE a ADD d INTEGER"],
        ),
        (["ALTER TABLE a ADD CONSTRAINT c UNIQUE (b)"], ["ALTER TABLE a ADD CONSTRAINT c UNIQUE (b)"]),
        (["ALTER TABLE a ADD COLUMN b INTEGER", "ALTER TABLE a ADD COLUMN c INTEGER DEFAULT 0 NOT NULL", STEP], []),
        (["ALTER TABLE a ADD COLUMN b INTEGER NOT NULL", STEP], ["ALTER TABLE a ADD COLUMN b INTEGER NOT NULL"]),
    ],
)
def test_what_would_keep_writers_from_a_table_is_found(statements: list[str], found: list[str]) -> None:
    assert blocking(statements) == found


def blocking(statements: Sequence[str]) -> list[str]:
    """Find what makes an index, or looks through all rows, of a table that an earlier migration made.

    And a column that older servers would have to fill; and what else a migration does that makes an index concurrently:
    when that is killed, it would be done again.
    """
    found: list[str] = []
    step: list[str] = []
    for statement in (*statements, STEP):
        if "INTO alembic_version" not in statement and not statement.startswith(STEP):
            step += [statement] if statement.startswith(CHANGES) else []
            continue
        made = {match[1] for change in step if (match := re.match(r"CREATE TABLE (\w+)", change))}
        concurrent = [change for change in step if " INDEX CONCURRENTLY " in change]
        for change in step:
            index = re.match(r"CREATE (?:UNIQUE )?INDEX .*?ON (\w+)", change)
            is_required = " NOT NULL" in change and " DEFAULT " not in change
            forbids = change.startswith("ALTER TABLE") and ("CONSTRAINT" in change or is_required)
            if change not in concurrent and (concurrent or forbids or (index is not None and index[1] not in made)):
                found.append(change)
        step = []
    return found


async def test_a_schema_of_a_newer_version_is_refused(database: Database) -> None:
    def as_if_newer(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.exec_driver_sql("UPDATE schema_bears SET oldest_revision = '9998'")

    await database.write(as_if_newer)
    before = await database.read(schema)
    with pytest.raises(SchemaTooNew, match=r"9999.*from revision 9998 on.*newer Imagebatch"):
        await migrate(database)
    assert await database.read(schema) == before


async def test_a_schema_of_a_newer_version_that_bears_this_one_is_left_as_it_is(database: Database) -> None:
    def as_if_newer(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    await database.write(as_if_newer)
    before = await database.read(schema)
    with capture_logs() as logs:
        await migrate(database)
    assert [(line["event"], line["revision"]) for line in logs] == [("schema.newer", "9999")]
    assert await database.read(schema) == before


async def test_servers_that_start_at_once_migrate_once(url: str, open_database: Callable[[], Database]) -> None:
    """Real processes, let go at one moment."""
    started = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, url], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], errors

    files = [file.name for file in (Path(migrations.__file__).parent / "versions").glob("v*.py")]
    newest = max(files).removeprefix("v").partition("_")[0]

    def versions(connection: Connection) -> list[str]:
        return list(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars())

    assert await open_database().read(versions) == [newest]


def test_a_migration_is_named_by_its_revision() -> None:
    folder = Path(migrations.__file__).parent / "versions"
    files = sorted(file for file in folder.glob("*.py") if file.name != "__init__.py")
    previous = None
    for number, file in enumerate(files, start=1):
        revision = f"{number:04}"
        assert re.fullmatch(rf"v{revision}_[a-z0-9_]+\.py", file.name)
        text = file.read_text()
        assert f'\nrevision = "{revision}"\n' in text
        assert f"\ndown_revision = {previous!r}\n".replace("'", '"') in text
        previous = revision
