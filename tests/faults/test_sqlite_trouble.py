"""A SQLite database that is locked, damaged or no database: clear answers, nothing lost, and work resumes by itself."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.faults.conftest import Tell
from tests.faults.logs import tracebacks
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.faults.trouble import READS, WRITES, answers, assert_unavailable, live_through
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item, refused
from tests.server import READY, ServerProcess, running_server

from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED

LOCKED_S = 12.0
PAGE_BYTES = 4096


@pytest.fixture
def store(tmp_path: Path) -> Store:
    data_dir = tmp_path / "data"
    return Store("sqlite", data_dir, f"sqlite:///{data_dir / 'imagebatch.db'}")


@pytest.fixture
def server(store: Store) -> Iterator[ServerProcess]:
    with running_server(store.data_dir, {"stop_grace_s": "2", **store.settings}, operations=OPERATIONS) as running:
        yield running


def locked(store: Store) -> sqlite3.Connection:
    """Hold the lock for writing by a connection, until that is closed."""
    connection = sqlite3.connect(store.data_dir / "imagebatch.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


@pytest.mark.timeout(300)
def test_work_goes_on_after_a_lock(store: Store, server: ServerProcess, tmp_path: Path, seed: int, tell: Tell) -> None:
    async def trouble() -> None:
        lock = locked(store)
        await asyncio.sleep(LOCKED_S)
        lock.close()

    tell(f"another process held the database's lock for {LOCKED_S:g} s")
    live_through([trouble], [server], store, tmp_path, seed, tell)


@pytest.mark.timeout(300)
def test_a_locked_database_is_said_to_be_locked(store: Store, raw: Raw, tell: Tell) -> None:
    picture = raw.upload(pictures.drawn()).object_key
    batch_id = raw.submit([item(object_key=picture)]).batch_id
    raw.watch_to_end(batch_id)
    lock = locked(store)
    got = answers(raw, batch_id, picture)
    lock.close()
    for name in READS:
        assert got[name] is None, (name, got[name])
    messages = {assert_unavailable(got[name]) for name in WRITES}
    assert any("locked" in message for message in messages)
    tell(
        f"{len(WRITES)} kinds of writes answered UNAVAILABLE, {len(READS)} kinds of reads answered: {sorted(messages)}"
    )
    assert all(answer is None for name, answer in answers(raw, batch_id, picture).items() if name != "DeleteBatch")


def test_a_file_that_is_no_database_ends_the_start_in_one_line(store: Store, tell: Tell) -> None:
    store.data_dir.mkdir()
    (store.data_dir / "imagebatch.db").write_bytes(b"no database " * 1_000)
    tell(start_fails(store))


def test_a_database_damaged_while_the_server_was_down_ends_the_start_in_one_line(
    store: Store, server: ServerProcess, tell: Tell
) -> None:
    server.stop()
    damage(store)
    tell(start_fails(store))


def start_fails(store: Store) -> str:
    """Start a server that can't: it must say why in one line, and end with 1. Answers the line."""
    server = ServerProcess(store.data_dir, operations=OPERATIONS)
    server.log_path.unlink(missing_ok=True)
    server.spawn()
    assert server.wait() == 1
    assert tracebacks(server) == []
    last = server.log.strip().splitlines()[-1]
    assert last.startswith("imagebatch serve: the store is not available")
    return last


def damage(store: Store) -> None:
    """Overwrite all but the first page of the database, under the server if one runs."""
    file = store.data_dir / "imagebatch.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with file.open("r+b") as database:
        size = database.seek(0, 2)
        database.seek(PAGE_BYTES)
        database.write(b"\xff" * (size - PAGE_BYTES))


@pytest.mark.timeout(300)
def test_a_database_damaged_under_a_server_is_told_of(
    store: Store, server: ServerProcess, raw: Raw, tell: Tell
) -> None:
    picture = raw.upload(pictures.drawn()).object_key
    gate = store.data_dir.parent / "gate"
    waits = {"do": "wait", "until": str(gate)}
    batch_id = raw.submit([item(object_key=picture, metadata=waits), *[item(object_key=picture)] * 300]).batch_id
    damage(store)
    before = len(server.log)
    got = answers(raw, batch_id, picture)
    gate.touch()
    messages = {assert_unavailable(answer) for answer in got.values() if answer is not None}
    assert sum(answer is not None for answer in got.values()) >= len(WRITES)
    eventually(lambda: "recorder.store_unavailable" in server.log)
    written = len(server.log)
    assert raw.channel is not None
    for _ in range(3):
        with pytest.raises(grpc.RpcError):
            raw.submit([item(object_key=picture)])
    assert tracebacks(server) == []
    tell(f"{len(got)} kinds of calls: {sum(one is not None for one in got.values())} UNAVAILABLE: {sorted(messages)}")
    tell(f"the log grew by {written - before} bytes")
    server.kill()


@pytest.mark.parametrize("file", ["imagebatch.db-wal", "imagebatch.db"])
def test_a_database_file_that_is_gone_is_noticed(
    store: Store, server: ServerProcess, raw: Raw, tell: Tell, file: str
) -> None:
    """What was answered before survives, and nothing is answered that would not."""
    picture = raw.upload(pictures.drawn()).object_key
    batch_id = raw.submit([item(object_key=picture)], "noop").batch_id
    raw.watch_to_end(batch_id)
    path = store.data_dir / file
    path.rename(store.data_dir.parent / file)
    refused_with = assert_unavailable(refused(lambda: raw.submit([item(object_key=picture)], "noop")), file)
    path.write_bytes(b"another")
    assert_unavailable(refused(lambda: raw.upload(pictures.drawn())), "replaced")
    assert raw.status(batch_id).status == BATCH_STATUS_COMPLETED, "reads go on"
    assert "database.file_replaced" in server.log
    path.unlink()
    (store.data_dir.parent / file).rename(path)
    later = raw.submit([item(object_key=picture)], "noop").batch_id
    raw.watch_to_end(later)
    assert server.stop() == 0
    server.start()
    again = Raw(server.address)
    assert {again.status(one).status for one in (batch_id, later)} == {BATCH_STATUS_COMPLETED}
    again.close()
    assert tracebacks(server) == []
    tell(refused_with)


def test_a_log_that_was_deleted_is_saved_by_stopping(store: Store, server: ServerProcess, raw: Raw) -> None:
    """As the message says."""
    batch_id = raw.submit([item(object_key=raw.upload(pictures.drawn()).object_key)], "noop").batch_id
    raw.watch_to_end(batch_id)
    (store.data_dir / "imagebatch.db-wal").unlink()
    assert server.stop() == 0
    server.start()
    again = Raw(server.address)
    assert again.status(batch_id).status == BATCH_STATUS_COMPLETED
    again.close()


def test_a_start_waits_for_a_lock(store: Store, server: ServerProcess, tell: Tell) -> None:
    server.stop()
    lock = locked(store)
    process = server.spawn()
    eventually(lambda: "server.waits_for_store" in server.log)
    lock.close()
    assert process.stdout is not None
    assert any(READY in line for line in process.stdout)
    assert tracebacks(server) == []
    tell("a start waited for longer than SQLite itself does, and went on when the lock was gone")
