"""Whose batches may be taken over: by locks and leases of servers as PostgreSQL knows them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import text
from tests.integration.ports.values import made, new_batch

from imagebatch_server.batches.model import Load
from imagebatch_server.store import servers
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.migrate import migrate
from imagebatch_server.store.server_lock import ServerLock
from imagebatch_server.store.servers import ServerName

pytestmark = pytest.mark.postgres

NUMBERS = {"one": 1, "two": 2}


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
async def database(open_database: Callable[[], Database]) -> Database:
    """Have a database on which the two servers of the stores have leases, and no locks."""
    database = open_database()
    await migrate(database)
    for name, number in NUMBERS.items():
        server = ServerName(name, number, "0", ["describe"])
        await database.write(partial(servers.renew, name=server, ttl_s=60, load=Load(workers=1), draining=False))
    return database


async def locked(open_database: Callable[[], Database], name: str) -> ServerLock:
    """Take the lock by which a server shows that it lives."""
    lock = await open_database().lock_shared(NUMBERS[name])
    assert lock is not None
    return lock


async def test_nobody_tells_others_dead_whose_own_lock_is_not_there(
    database: Database, open_database: Callable[[], Database], batches: SqlBatchStore, others: SqlBatchStore
) -> None:
    """As right after a restart of PostgreSQL, when all have lost theirs."""
    batch, staged = await made(batches, 1), new_batch()
    await batches.stage(staged)
    assert (list(await others.take_over(["describe"])), await others.discard_staged()) == ([], 0)
    lock = await locked(open_database, "one")
    await locked(open_database, "two")
    assert (list(await others.take_over(["describe"])), await others.discard_staged()) == ([], 0)
    session = lock.hold().execute(text("SELECT pg_backend_pid()")).scalar_one()
    end = text("SELECT pg_terminate_backend(:session, 10000)")
    assert await database.write(lambda connection: connection.execute(end, {"session": session}).scalar_one())
    taken = await others.take_over(["describe"])
    assert [(one.batch_id, one.owner) for one in taken] == [(batch.batch_id, "two")]
    assert await others.discard_staged() == 1


async def test_a_lock_that_was_lost_is_known_before_it_is_taken_again(open_database: Callable[[], Database]) -> None:
    lock = await locked(open_database, "one")
    assert not lock.is_lost()
    assert lock.hold() is lock.hold()
    first = lock.hold()
    lock.close()
    assert lock.is_lost()
    assert lock.hold() is not first
    assert not lock.is_lost()
