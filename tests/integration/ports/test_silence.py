"""Connections to PostgreSQL that say nothing any more: given up and opened anew, and no reason not to close."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import pytest
from sqlalchemy import Connection, text
from structlog.testing import capture_logs

from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.store import database as database_module
from imagebatch_server.store import dialects
from imagebatch_server.store.database import Database
from imagebatch_server.store.server_lock import DatabaseInUse

pytestmark = pytest.mark.postgres


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "SILENT_FOR_S", 1.0)
    monkeypatch.setattr(dialects, "BUSY_TIMEOUT_S", 0.2)


def process(connection: Connection) -> int:
    number: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return number


async def test_a_writer_whose_process_was_stopped_is_replaced(open_database: Callable[[], Database]) -> None:
    database = open_database()
    await database.lock()
    stopped = psutil.Process(await database.write(process))
    stopped.suspend()
    try:
        with capture_logs() as logs:
            assert await database.write(process) != stopped.pid, "the same call goes on on a new connection"
        assert [line["event"] for line in logs] == ["database.connection_silent"]
    finally:
        stopped.resume()


async def test_what_idles_beside_a_silent_connection_is_not_tried(open_database: Callable[[], Database]) -> None:
    database = open_database()
    stopped = [psutil.Process(await database.write(process)), psutil.Process(await database.read(process))]
    for one in stopped:
        one.suspend()
    try:
        with capture_logs() as logs:
            assert await database.read(process) != stopped[1].pid
            assert await database.write(process) != stopped[0].pid
        assert [line["event"] for line in logs] == ["database.connection_silent"], "one of the two was waited for"
    finally:
        for one in stopped:
            one.resume()


async def test_a_lock_whose_process_was_stopped_still_keeps_others_off(open_database: Callable[[], Database]) -> None:
    database, other = open_database(), open_database()
    await database.lock()
    assert database._lock is not None
    assert database._lock._holder is not None
    holder = psutil.Process(database._lock._holder.pid)
    writer = psutil.Process(await database.write(process))
    holder.suspend()
    writer.suspend()
    try:
        assert await database.write(process) != writer.pid
        await database.write(process)
        with pytest.raises(DatabaseInUse):
            await other.lock()
    finally:
        holder.resume()
        writer.resume()
    await database.write(process)


async def test_closing_waits_for_no_silent_connection(open_database: Callable[[], Database]) -> None:
    database = open_database()
    stopped = psutil.Process(await database.read(process))
    stopped.suspend()
    try:
        with pytest.raises(StoreUnavailable):
            await database.read(process, timeout_s=0.1)
        began = time.monotonic()
        database.close()
        assert time.monotonic() - began < 5
    finally:
        stopped.resume()
