"""One suite a port, on each implementation: SQLite, and a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.postgres import MIGRATED, PostgresServer, session_server
from tests.unit.batches.samples import allowing

from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.migrate import migrate
from imagebatch_server.store.object_rows import SqlObjectRows
from imagebatch_server.store.outcomes import SqlOutcomeStore
from imagebatch_server.store.tenants import SqlTenantStore

MIB = 1024 * 1024


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with session_server(tmp_path_factory) as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'imagebatch.db'}"


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """Make a database that is migrated already, which a test may do again."""
    url = postgres.create_database(MIGRATED)
    yield url
    postgres.drop_database(url)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    """Make a database without rows, on each of the two kinds."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def open_database(url: str) -> AsyncIterator[Callable[[], Database]]:
    """Open the test's database, as often as there are to be servers."""
    opened: list[Database] = []

    def open_one() -> Database:
        opened.append(Database(url))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture
async def database(open_database: Callable[[], Database]) -> Database:
    database = open_database()
    await migrate(database)
    return database


@pytest.fixture
def batches(database: Database) -> SqlBatchStore:
    return SqlBatchStore(database, owner="one", quotas=allowing(1_000))


@pytest.fixture
def others(database: Database) -> SqlBatchStore:
    """Read the batches as another server holds them that comes to the same database."""
    return SqlBatchStore(database, owner="two", quotas=allowing(1_000))


@pytest.fixture
def outcomes(database: Database) -> SqlOutcomeStore:
    return SqlOutcomeStore(database, max_read_bytes=30 * MIB)


@pytest.fixture
def tenants(database: Database) -> SqlTenantStore:
    return SqlTenantStore(database)


@pytest.fixture
def objects(database: Database) -> SqlObjectRows:
    return SqlObjectRows(database, quotas=allowing(1_000))
