"""A PostgreSQL of our own, as the tests start it: its own folder, a Unix socket, fsync and synchronous_commit on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.conftest import postgres_programs
from tests.postgres import own_server

from benchmarks.peers import Missing


@contextmanager
def running_postgres() -> Iterator[Callable[[], str]]:
    """Provide a function that makes an empty database and answers its URL. Raises Missing without PostgreSQL."""
    if postgres_programs() is None:
        raise Missing("PostgreSQL's programs are not installed: make bench-tools")
    with own_server() as server:
        yield server.create_database
