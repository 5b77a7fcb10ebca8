"""A database and images that don't belong together: nothing is removed, and what was set aside returns.

An image counts as left over a day after it was stored, so these images are two days old.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, inspect, text
from tests.faults.conftest import Tell
from tests.faults.logs import tracebacks
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item
from tests.server import ServerProcess, running_server

from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED
from imagebatch_server.store import migrations

IMAGES = 51
TIDY = {"tidy_every_s": "0.2"}


class Site:
    """One installation, as its operator handles it."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.objects = store.data_dir / "objects"
        self.images: dict[str, bytes] = {}
        """What was uploaded, by key."""

    def server(self, **settings: str) -> ServerProcess:
        return ServerProcess(self.store.data_dir, {**self.store.settings, **TIDY, **settings}, OPERATIONS)

    def fill(self, images: int) -> None:
        """Upload images and run a batch over them, and let two days go by."""
        with running_server(self.store.data_dir, self.store.settings, operations=OPERATIONS) as server:
            raw = Raw(server.address)
            new = {}
            for number in range(images):
                data = pictures.drawn(len(self.images) + number)
                new[raw.upload(data).object_key] = data
            batch_id = raw.submit([item(object_key=key) for key in new], "noop").batch_id
            assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
            raw.close()
        self.images |= new
        self.age()

    def age(self) -> None:
        old = time.time() - timedelta(days=2).total_seconds()
        for path in self.objects.rglob("default.*"):
            os.utime(path, (old, old))
        self.store.age_objects(list(self.images), datetime.now(UTC) - timedelta(days=2))

    def blobs(self) -> set[str]:
        """List the images that are in their places."""
        return {path.name for path in self.objects.glob("?/?/default.*")}

    def quarantined(self) -> set[str]:
        return {path.name for path in (self.objects / "quarantine").iterdir()}

    def set_database_aside(self, name: str) -> None:
        """Move a stopped server's database away, which leaves a place for another one."""
        if self.store.postgres is None:
            for file in self.store.data_dir.glob("imagebatch.db*"):
                (self.folder / name).mkdir(exist_ok=True)
                file.rename(self.folder / name / file.name)
        else:
            self.store.postgres.set_aside(self.store.url, name)

    def bring_database_back(self, name: str) -> None:
        if self.store.postgres is None:
            for file in self.store.data_dir.glob("imagebatch.db*"):
                file.unlink()
            for file in (self.folder / name).iterdir():
                file.rename(self.store.data_dir / file.name)
        else:
            self.store.postgres.bring_back(self.store.url, name)

    def start_fails(self, **settings: str) -> str:
        """Start a server that must refuse; answers why, its last line."""
        before = sorted(path for path in self.objects.rglob("*"))
        server = self.server(**settings)
        server.log_path.unlink(missing_ok=True)
        server.spawn()
        assert server.wait() == 1
        assert tracebacks(server) == []
        assert sorted(path for path in self.objects.rglob("*")) == before, "it touched nothing"
        return server.log.strip().splitlines()[-1]

    def join(self) -> str:
        """`imagebatch store move`: what it prints."""
        environment = {
            **os.environ,
            **{f"IMAGEBATCH_{name.upper()}": value for name, value in self._settings().items()},
        }
        command = [sys.executable, "-m", "imagebatch_client", "store", "move"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _settings(self) -> Mapping[str, str]:
        url = {} if self.store.postgres is None else {"database_url": self.store.url}
        return {"data_dir": str(self.store.data_dir), **url}


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Site:
    return Site(store, tmp_path)


def all_there(server: ServerProcess, images: Mapping[str, bytes]) -> Sequence[str]:
    """Download everything; answers the keys whose bytes differ, or raises."""
    raw = Raw(server.address)
    try:
        return [key for key, data in images.items() if raw.download(key)[1] != data]
    finally:
        raw.close()


@pytest.mark.timeout(300)
def test_a_start_on_a_new_database_removes_no_image(site: Site, tell: Tell) -> None:
    site.fill(IMAGES)
    site.set_database_aside("old")
    line = site.start_fails()
    assert "the database knows no image, and" in line
    assert "imagebatch store move" in line
    tell(line.replace(str(site.folder), "…"))
    assert site.blobs() == set(site.images)
    site.bring_database_back("old")
    server = site.server()
    server.start()
    assert all_there(server, site.images) == []
    server.stop()


@pytest.mark.timeout(300)
def test_a_new_database_that_is_joined_on_purpose_sets_nothing_aside_at_once(site: Site, tell: Tell) -> None:
    site.fill(IMAGES)
    site.set_database_aside("old")
    assert "now" in site.join()
    server = site.server()
    server.start()
    eventually(lambda: "sweeper.refused" in server.log)
    assert server.stop() == 0
    assert server.log.count("sweeper.refused") == 1
    assert (site.blobs(), site.quarantined()) == (set(site.images), set())

    server = site.server(sweep_max_share="1")
    server.start()
    eventually(lambda: site.blobs() == set())
    assert site.quarantined() == set(site.images)
    assert server.stop() == 0

    site.bring_database_back("old")
    server = site.server()
    server.start()
    assert all_there(server, site.images) == []
    assert server.stop() == 0
    assert site.store.blob_defects() == []
    assert "sweeper.blobs_put_back" in server.log
    assert tracebacks(server) == []
    tell(f"{IMAGES} images of another database were kept, then set aside when that was allowed, and put back with it")


@pytest.mark.timeout(300)
def test_an_older_backup_loses_no_newer_image(store: Store, site: Site, tell: Tell) -> None:
    if store.postgres is not None:
        pytest.skip("a backup is a copy of SQLite's file here")
    site.fill(20)
    shutil.copytree(store.data_dir, site.folder / "backup", ignore=shutil.ignore_patterns("objects"))
    site.fill(5)
    site.set_database_aside("newer")
    shutil.copy(site.folder / "backup" / "imagebatch.db", store.data_dir)
    server = site.server()
    server.start()
    eventually(lambda: len(site.quarantined()) == 5)
    assert all_there(server, dict(list(site.images.items())[:20])) == []
    assert server.stop() == 0
    assert "sweeper.blobs_quarantined" in server.log
    site.bring_database_back("newer")
    server = site.server()
    server.start()
    assert all_there(server, site.images) == []
    assert server.stop() == 0
    tell("5 images newer than the backup were set aside, and returned with the newer database")


@pytest.mark.timeout(300)
def test_another_folder_of_images_is_refused(site: Site, store: Store, tell: Tell) -> None:
    """Emptied, as where it is not mounted; swapped with that of another installation."""
    site.fill(3)
    own, away = site.objects, site.folder / "away"
    own.rename(away)
    line = site.start_fails()
    assert "the database belongs with object store" in line
    assert not own.exists()
    own.mkdir()
    assert "none that has been used before" in site.start_fails()
    assert list(own.iterdir()) == []
    own.rmdir()

    with running_server(site.folder / "other", operations=OPERATIONS):
        pass
    shutil.copytree(site.folder / "other" / "objects", own)
    line = site.start_fails()
    assert f"and {own} is " in line
    tell(line.replace(str(site.folder), "…"))
    shutil.rmtree(own)
    away.rename(own)
    server = site.server()
    server.start()
    assert all_there(server, site.images) == []
    assert server.stop() == 0


def back_to(connection: Connection, revision: str) -> None:
    """Take away what later migrations added, as if the version of that schema had written the rows."""
    with create_engine("sqlite://").begin() as empty:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = empty
        command.upgrade(config, revision)
        kept = {
            name: {column["name"] for column in inspect(empty).get_columns(name)}
            for name in inspect(empty).get_table_names()
        }
    for name in inspect(connection).get_table_names():
        if name not in kept:
            connection.execute(text(f"DROP TABLE {name}"))
            continue
        for index in inspect(connection).get_indexes(name):
            if not set(index["column_names"]) <= kept[name]:  # SQLite drops no column that an index has
                connection.execute(text(f"DROP INDEX {index['name']}"))
        for column in inspect(connection).get_columns(name):
            if column["name"] not in kept[name]:
                connection.execute(text(f"ALTER TABLE {name} DROP COLUMN {column['name']}"))
    connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


@pytest.mark.timeout(300)
def test_a_deployment_without_ids_starts_as_ever(site: Site, store: Store, tell: Tell) -> None:
    """As one that an earlier version left."""
    site.fill(5)

    store.write(lambda connection: back_to(connection, "0003"))
    (site.objects / "store-id").unlink()
    server = site.server()
    server.start()
    assert all_there(server, site.images) == []
    assert server.stop() == 0
    assert (site.blobs(), site.quarantined()) == (set(site.images), set())
    assert (site.objects / "store-id").exists()
    tell("a database of the schema before, and images without an id, were taken for the pair that they are")


@pytest.mark.timeout(300)
def test_images_that_are_not_there_are_told_of(site: Site, tell: Tell) -> None:
    site.fill(5)
    for key in list(site.images)[:2]:
        next(site.objects.rglob(key)).unlink()
    server = site.server()
    server.start()
    eventually(lambda: "sweeper.blobs_missing" in server.log)
    assert len(site.store.blob_defects()) == 2
    assert '"blobs": 2' in next(line for line in server.log.splitlines() if "sweeper.blobs_missing" in line)
    assert server.stop() == 0
    tell("2 of 5 images had no bytes, which the log said")


@pytest.mark.timeout(300)
def test_a_copy_of_a_data_folder_works_beside_the_original(site: Site, store: Store, tell: Tell) -> None:
    if store.postgres is not None:
        pytest.skip("on PostgreSQL a second server is refused")
    site.fill(5)
    shutil.copytree(store.data_dir, site.folder / "copy")
    copy = ServerProcess(site.folder / "copy", TIDY, OPERATIONS)
    server = site.server()
    server.start()
    copy.start()
    assert all_there(server, site.images) == all_there(copy, site.images) == []
    assert (server.stop(), copy.stop()) == (0, 0)
    assert site.blobs() == set(site.images)
    tell("two copies of a data folder each kept their images")
