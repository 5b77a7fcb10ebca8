"""An SQLite file shrinks after its rows were deleted, by steps, or at once where it was made before that was so."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection
from tests.integration.ports.values import TENANT, items, new_batch
from tests.unit.batches.samples import allowing

from imagebatch_server.store import file_space
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.migrate import migrate


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_space, "KEPT_FREE_BYTES", 0)


async def filled_and_emptied(url: str) -> SqlBatchStore:
    """Let a batch of 20,000 items come and go."""
    database = Database(url)
    await migrate(database)
    batches = SqlBatchStore(database, owner="one", quotas=allowing(9))
    new = new_batch()
    await batches.stage(new)
    await batches.stage_items(new, items(20_000), [])
    await batches.discard(TENANT, new.batch_id)
    while await batches.remove_hidden(10_000):
        pass
    return batches


async def test_a_file_shrinks_by_steps(sqlite_url: str, tmp_path: Path) -> None:
    batches = await filled_and_emptied(sqlite_url)
    file = tmp_path / "imagebatch.db"

    def checkpoint(connection: Connection) -> None:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")

    await batches._database.write(checkpoint)
    before, given_back = file.stat().st_size, 0
    while step := await batches.give_back_space():
        given_back += step
    await batches._database.write(checkpoint)
    assert given_back > 1_000_000
    assert file.stat().st_size == before - given_back
    assert await batches.give_back_space() == 0
    batches._database.close()


async def test_an_old_file_is_compacted(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "imagebatch.db"
    old = sqlite3.connect(file)
    old.execute("CREATE TABLE made_before (number INTEGER)")  # a file with a table keeps its mode
    old.commit()
    old.close()
    batches = await filled_and_emptied(sqlite_url)
    assert await batches.give_back_space() == 0
    batches._database.close()
    before, after = file_space.compact(file)
    assert after < before / 4
    database = Database(sqlite_url)
    assert (
        await database.read(lambda connection: file_space._number(connection, "auto_vacuum")) == file_space.INCREMENTAL
    )
    database.close()


@pytest.mark.postgres
async def test_postgres_needs_none_of_it(postgres_url: str) -> None:
    batches = await filled_and_emptied(postgres_url)
    assert await batches.give_back_space() == 0
    batches._database.close()
