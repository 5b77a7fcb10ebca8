"""Sorts of trouble in which a server is told to stop; each is a few lines: what is arranged, and taken back after."""

from __future__ import annotations

import random
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
import psycopg
from sqlalchemy import make_url
from tests.faults.backends import backends
from tests.faults.stores import Store
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item, upload_messages
from tests.server import ServerProcess

from imagebatch.v1 import batch_service_pb2
from imagebatch_server.store.dialects import MIGRATION_LOCK

SHORT_MEMORY = 1500 * 1024 * 1024
"""Of addresses: less than the budgets of the default settings add up to."""


@dataclass(frozen=True)
class Scene:
    """A server with work to do, if it is up yet, its store and a folder for what a trouble needs."""

    server: ServerProcess
    store: Store
    folder: Path
    chance: random.Random

    def raw(self) -> Raw:
        return Raw(self.server.address)

    def children(self) -> list[psutil.Process]:
        """List the server's own processes: workers, and what brings images."""
        return psutil.Process(self.server.process.pid).children(recursive=True)


@dataclass(frozen=True)
class Sort:
    """A sort of trouble. `while_starting`: it is arranged before the server is started.

    `within` is a command that runs the server.
    """

    arrange: Callable[[Scene], AbstractContextManager[None]]
    kind: str | None
    while_starting: bool
    within: Sequence[str]

    @property
    def name(self) -> str:
        return self.arrange.__name__


SORTS: list[Sort] = []


def sort(
    kind: str | None = None, *, while_starting: bool = False, within: Sequence[str] = ()
) -> Callable[[Callable[[Scene], Iterator[None]]], Callable[[Scene], AbstractContextManager[None]]]:
    """Make a generator a sort of trouble: on `kind` of store only, or on both."""

    def add(generator: Callable[[Scene], Iterator[None]]) -> Callable[[Scene], AbstractContextManager[None]]:
        arrange = contextmanager(generator)
        SORTS.append(Sort(arrange, kind, while_starting, within))
        return arrange

    return add


@contextmanager
def suspended(processes: list[psutil.Process]) -> Iterator[None]:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def postgres_processes(store: Store) -> list[psutil.Process]:
    """All of PostgreSQL, its first process included."""
    assert store.postgres is not None
    first = psutil.Process(int((store.postgres.folder / "data" / "postmaster.pid").read_text().split()[0]))
    return [first, *first.children(recursive=True)]


def session(store: Store) -> psycopg.Connection[Any]:
    url = make_url(store.url).set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False))


def in_background(call: Callable[[], object]) -> None:
    """Make a call that ends with the server."""

    def run() -> None:
        with suppress(grpc.RpcError, ValueError):
            call()

    threading.Thread(target=run, daemon=True).start()


@sort()
def nothing(scene: Scene) -> Iterator[None]:
    yield


@sort()
def many_watches(scene: Scene) -> Iterator[None]:
    raw = scene.raw()
    waits = {"do": "wait", "until": str(scene.folder / "never")}
    image = pictures.data_url(pictures.drawn())
    batch_id = raw.submit([item(image_base64=image, metadata=waits)]).batch_id
    for _ in range(50):
        in_background(lambda: list(raw.watch(batch_id)))
    yield
    raw.close()


@sort()
def many_calls_at_once(scene: Scene) -> Iterator[None]:
    raw = scene.raw()
    request = batch_service_pb2.ListBatchesRequest()
    calls = [raw.batches.ListBatches.future(request) for _ in range(3_000)]
    yield
    for call in calls:
        call.cancel()
    raw.close()


@sort()
def submit_streams_left_open(scene: Scene) -> Iterator[None]:
    raw, ended = scene.raw(), threading.Event()

    def messages() -> Iterator[batch_service_pb2.SubmitBatchStreamRequest]:
        yield batch_service_pb2.SubmitBatchStreamRequest(options=batch_service_pb2.BatchOptions(operation="noop"))
        image = pictures.data_url(pictures.drawn())
        inputs = batch_service_pb2.BatchImageInputs(items=[item(image_base64=image)] * 20)
        while not ended.wait(0.05):
            yield batch_service_pb2.SubmitBatchStreamRequest(items=inputs)

    for _ in range(5):
        in_background(lambda: raw.batches.SubmitBatchStream(messages()))
    yield
    ended.set()
    raw.close()


@sort()
def uploads_left_open(scene: Scene) -> Iterator[None]:
    raw, ended = scene.raw(), threading.Event()

    def messages() -> Iterator[Any]:
        yield from list(upload_messages(pictures.drawn()))[:1]
        ended.wait()

    for _ in range(5):
        in_background(lambda: raw.images.UploadImage(messages()))
    yield
    ended.set()
    raw.close()


@sort()
def idle_connections(scene: Scene) -> Iterator[None]:
    host, _, port = scene.server.address.rpartition(":")
    connections = [socket.create_connection((host, int(port))) for _ in range(1_000)]
    yield
    for connection in connections:
        connection.close()


@sort()
def descriptors_exhausted(scene: Scene) -> Iterator[None]:
    process = psutil.Process(scene.server.process.pid)
    _, hard = process.rlimit(psutil.RLIMIT_NOFILE)
    process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds(), hard))
    raw = scene.raw()
    image = pictures.data_url(pictures.drawn())
    for _ in range(3):
        in_background(lambda: raw.submit([item(image_base64=image)] * 50, "noop"))
    yield
    raw.close()


@sort(within=("prlimit", f"--as={SHORT_MEMORY}"))
def memory_short(scene: Scene) -> Iterator[None]:
    raw = scene.raw()
    image = "data:image/png;base64," + "A" * 1024 * 1024
    for _ in range(4):
        in_background(lambda: raw.submit([item(image_base64=image)] * 20, "noop"))
    yield
    raw.close()


@sort()
def large_submits(scene: Scene) -> Iterator[None]:
    raw = scene.raw()
    image = "data:image/png;base64," + "A" * 1024 * 1024
    for _ in range(4):
        in_background(lambda: raw.submit([item(image_base64=image)] * 20, "noop"))
    yield
    raw.close()


@sort()
def submits_without_end(scene: Scene) -> Iterator[None]:
    raw, ended = scene.raw(), threading.Event()
    image = pictures.data_url(pictures.drawn())

    def submit() -> None:
        while not ended.is_set():
            raw.submit([item(image_base64=image)] * 50, "noop")

    for _ in range(3):
        in_background(submit)
    yield
    ended.set()
    raw.close()


@sort()
def hosts_that_never_answer(scene: Scene) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        raw = scene.raw()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        raw.submit([item(image_url=f"{url}{number}") for number in range(100)], "noop")
        yield
        raw.close()


@sort()
def children_stopped(scene: Scene) -> Iterator[None]:
    with suspended(scene.children()):
        yield


@sort()
def children_killed(scene: Scene) -> Iterator[None]:
    for child in scene.children():
        with suppress(psutil.NoSuchProcess):
            child.kill()
    yield


@sort()
def items_that_never_end(scene: Scene) -> Iterator[None]:
    raw = scene.raw()
    waits = {"do": "wait", "until": str(scene.folder / "never")}
    raw.submit([item(image_base64=pictures.data_url(pictures.drawn()), metadata=waits)] * 20)
    yield
    raw.close()


@sort()
def images_not_mounted(scene: Scene) -> Iterator[None]:
    objects, away = scene.store.data_dir / "objects", scene.folder / "away"
    objects.rename(away)
    yield
    away.rename(objects)


@sort("sqlite")
def database_locked(scene: Scene) -> Iterator[None]:
    connection = sqlite3.connect(scene.store.data_dir / "imagebatch.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.close()


@sort("sqlite")
def write_ahead_log_deleted(scene: Scene) -> Iterator[None]:
    (scene.store.data_dir / "imagebatch.db-wal").unlink(missing_ok=True)
    yield


@sort("sqlite")
def database_overwritten(scene: Scene) -> Iterator[None]:
    with (scene.store.data_dir / "imagebatch.db").open("r+b") as database:
        size = database.seek(0, 2)
        database.seek(4_096)
        database.write(b"\xff" * (size - 4_096))
    yield


@sort("postgres")
def connections_silent(scene: Scene) -> Iterator[None]:
    with suspended(backends(scene.store)):
        yield


@sort("postgres")
def one_connection_silent(scene: Scene) -> Iterator[None]:
    with suspended([scene.chance.choice(backends(scene.store))]):
        yield


@sort("postgres")
def all_of_postgres_stopped(scene: Scene) -> Iterator[None]:
    with suspended(postgres_processes(scene.store)):
        yield


@sort("postgres")
def postgres_gone(scene: Scene) -> Iterator[None]:
    assert scene.store.postgres is not None
    scene.store.postgres.stop_immediate()
    yield
    scene.store.postgres.start()


@sort("postgres")
def connections_ended(scene: Scene) -> Iterator[None]:
    for backend in backends(scene.store):
        with suppress(psutil.NoSuchProcess):
            backend.terminate()
    yield


@sort("postgres")
def tables_locked(scene: Scene) -> Iterator[None]:
    with session(scene.store) as connection:
        connection.execute("SET statement_timeout = 0")
        connection.execute("LOCK TABLE outcomes, items IN ACCESS EXCLUSIVE MODE")
        yield


@sort(while_starting=True)
def told_while_it_starts(scene: Scene) -> Iterator[None]:
    yield


@sort("sqlite", while_starting=True)
def started_on_a_locked_database(scene: Scene) -> Iterator[None]:
    scene.store.data_dir.mkdir(exist_ok=True)
    connection = sqlite3.connect(scene.store.data_dir / "imagebatch.db", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    yield
    connection.close()


@sort("postgres", while_starting=True)
def started_while_another_migrates(scene: Scene) -> Iterator[None]:
    with session(scene.store) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        yield


@sort("postgres", while_starting=True)
def started_on_a_silent_postgres(scene: Scene) -> Iterator[None]:
    with suspended(postgres_processes(scene.store)):
        yield
