"""Servers of one version while the first ones of a newer version migrate their PostgreSQL, and beside them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url
from tests.faults.conftest import Tell
from tests.faults.fleet import Fleet, assert_whole, events, postgres, seaweed, servers, shared_store, submit
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item

import imagebatch_server

__all__ = ["postgres", "seaweed", "servers", "shared_store"]

pytestmark = pytest.mark.postgres

COLUMN = """
import sqlalchemy as sa
from alembic import op

def upgrade():
    op.add_column("batches", sa.Column("more", sa.String(), nullable=True))
"""
INDEX = """
from imagebatch_server.store.migrations.indexes import create_index_concurrently

def upgrade():
    create_index_concurrently("objects_by_size", "objects", ["tenant", "size_bytes"])
"""


def test_a_rolling_upgrade_to_a_version_with_a_migration_more(
    servers: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Tell
) -> None:
    one = servers.add(stop_grace_s="1")
    raw = Raw(one.address)
    picture, gate = raw.upload(pictures.drawn()).object_key, tmp_path / "gate"
    waits = item(object_key=picture, metadata={"do": "wait", "until": str(gate)})  # so that there is one to hand over
    sleeps = item(object_key=picture, metadata={"do": "sleep", "seconds": 0.01})
    batch_id = raw.submit([waits, *[sleeps] * 149]).batch_id
    raw.close()
    older = servers.make()
    monkeypatch.setenv("PYTHONPATH", str(newer_version(tmp_path, COLUMN)))
    newer = servers.add()
    assert one.stop() == 0
    assert len(events(one, "batch.handed_over")) == 1
    gate.touch()
    assert_whole(servers, newer, batch_id, 150)
    older.start()  # as one does that was restarted before its turn came
    (said,) = events(older, "schema.newer")
    raw = Raw(older.address)
    assert_whole(servers, newer, submit(raw, 20, 0.0), 20)
    raw.close()
    tell(f"this version handed over to one with the schema {said['revision']}, and ran beside it")


def test_servers_write_while_newer_ones_make_an_index_and_are_killed(
    servers: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Tell
) -> None:
    one = servers.add()
    raw = Raw(one.address)
    monkeypatch.setenv("PYTHONPATH", str(newer_version(tmp_path, COLUMN, INDEX)))
    newer = [servers.make(), servers.make()]
    with database(servers) as holder, database(servers) as look, holder.transaction(force_rollback=True):
        holder.execute("LOCK TABLE objects IN ROW EXCLUSIVE MODE")  # as any write has it: the index waits for its end
        spawned = {server.spawn().pid: server for server in newer}
        eventually(lambda: migrating(look))
        killed = spawned.pop(migrating(look)[0])
        (waits,) = spawned.values()
        eventually(lambda: events(waits, "schema.awaited"))
        assert_whole(servers, one, submit(raw, 5, 0.0), 5)  # with a picture of its own, a row of `objects`
        killed.kill()
        look.execute(END)  # else PostgreSQL would go on
        eventually(lambda: migrating(look) == [waits.process.pid])
        assert validity(look) == [False]
        assert_whole(servers, one, submit(raw, 5, 0.0), 5)
        killed.spawn()
        eventually(lambda: len(events(killed, "schema.awaited")) > 0)
    for server in newer:
        server.ready()
    with database(servers) as look:
        assert validity(look) == [True]
    assert_whole(servers, killed, submit(raw, 5, 0.0), 5)
    raw.close()
    tell("a server wrote on while a newer one made an index and was killed, and another newer one made it anew")


MIGRATING = r"FROM pg_stat_activity WHERE query ~ '^\s*(CREATE|DROP) INDEX CONCURRENTLY' AND state = 'active'"
WHO = f"SELECT application_name {MIGRATING}"
END = f"SELECT pg_terminate_backend(pid) {MIGRATING}"


@contextmanager
def database(servers: Fleet) -> Iterator[psycopg.Connection]:
    """Connect beside the servers; each statement is a transaction."""
    url = make_url(servers.store.url).set(drivername="postgresql").render_as_string()
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def migrating(connection: psycopg.Connection) -> list[int]:
    """List the processes that make an index, or remove one that was not finished."""
    return [int(name.rpartition(" ")[2]) for (name,) in connection.execute(WHO)]


def validity(connection: psycopg.Connection) -> list[bool]:
    """Tell whether the index can be used; empty: there is none."""
    query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('objects_by_size')"
    return [is_valid for (is_valid,) in connection.execute(query)]


def newer_version(folder: Path, *more: str) -> Path:
    """Make a version of the server with migrations more, which servers of this one can bear."""
    package = Path(imagebatch_server.__file__).parent
    copied = folder / "newer" / "imagebatch_server"
    shutil.copytree(package, copied, ignore=shutil.ignore_patterns("__pycache__"))
    versions = copied / "store" / "migrations" / "versions"
    newest = int(max(file.name for file in versions.glob("v*.py"))[1:5])
    for number, text in enumerate(more, start=newest + 1):
        (versions / f"v{number:04}_more.py").write_text(
            f'revision = "{number:04}"\ndown_revision = "{number - 1:04}"\n{text}'
        )
    return copied.parent
