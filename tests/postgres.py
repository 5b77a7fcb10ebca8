"""A real PostgreSQL server for tests: its own cluster in a temporary folder, reached by a Unix socket, fsync on.

PostgreSQL refuses to run as root, so under root its programs run as another user.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg
import pytest
from sqlalchemy import make_url
from tests.conftest import postgres_programs

ROLE = "imagebatch"
PROGRAM_TIMEOUT_S = 60


class PostgresServer:
    """One cluster in `folder`; it may be stopped and started at will, and its data stays."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._data = folder / "data"
        self._user = _unprivileged_user()

    @classmethod
    def create(cls, folder: Path) -> PostgresServer:
        """Make a cluster in an empty folder, or skip the test where PostgreSQL is not installed.

        The path must be short, for a socket's name is limited, and open to the user that the server runs as.
        """
        programs = postgres_programs()
        if programs is None:
            pytest.skip("PostgreSQL's programs are not installed: make postgres")
        server = cls(programs, folder)
        if server._user is not None:
            os.chown(folder, server._user.pw_uid, server._user.pw_gid)
        server._run("initdb", "--auth=trust", f"--username={ROLE}", "--encoding=UTF8", "--no-locale")
        return server

    def start(self) -> None:
        """Start it and wait until it answers; after `stop_immediate` it recovers from its log first."""
        options = f"-c listen_addresses='' -c unix_socket_directories='{self._folder}' -c fsync=on"
        self._run("pg_ctl", "start", "--wait", f"--log={self._folder / 'log'}", f"--options={options}")

    def stop(self) -> None:
        """Stop it in good order, ending every connection."""
        self._run("pg_ctl", "stop", "--wait", "--mode=fast")

    def stop_immediate(self) -> None:
        """Stop it as a crash would: nothing is flushed, and the next start recovers."""
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate")

    def is_running(self) -> bool:
        """Whether the server's process is there."""
        return self._command("pg_ctl", "status").returncode == 0

    def create_database(self) -> str:
        """Make an empty database and answer its URL."""
        name = f"test_{uuid.uuid4().hex}"
        with self._connection() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://{ROLE}@/{name}?host={self._folder}"

    def drop_database(self, url: str) -> None:
        """Remove a database that `create_database` made, whoever is still connected to it."""
        with self._connection() as connection:
            connection.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)".encode())

    def _connection(self) -> psycopg.Connection:
        return psycopg.connect(host=str(self._folder), user=ROLE, dbname="postgres", autocommit=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = self._command(program, *arguments)
        if done.returncode != 0:
            log = self._folder / "log"
            raise RuntimeError(f"{program} failed: {done.stderr}{log.read_text() if log.exists() else ''}")

    def _command(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        other = self._user
        return subprocess.run(
            [str(self._programs / program), f"--pgdata={self._data}", *arguments],
            user=None if other is None else other.pw_uid,
            group=None if other is None else other.pw_gid,
            extra_groups=None if other is None else [],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROGRAM_TIMEOUT_S,
            check=False,
        )


@contextmanager
def own_server() -> Iterator[PostgresServer]:
    """A running server for one test alone, which may break it."""
    folder = _short_folder()
    try:
        server = PostgresServer.create(folder)
        server.start()
        try:
            yield server
        finally:
            if server.is_running():
                server.stop_immediate()
    finally:
        shutil.rmtree(folder)


@contextmanager
def session_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A running server that all processes of a test session share: the first one starts it, the last one stops it.

    Every process holds a shared lock while it uses the server; the one that can make it exclusive is the last. A
    process that dies gives its lock up by dying.
    """
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL's programs are not installed: make postgres")
    here = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        here = here.parent  # a worker's folder is in the session's
    where = here / "postgres-folder"
    with (here / "postgres-change").open("w") as change, (here / "postgres-use").open("w") as use:
        fcntl.flock(change, fcntl.LOCK_EX)
        fcntl.flock(use, fcntl.LOCK_SH)
        if where.exists():
            server = PostgresServer(programs, Path(where.read_text()))
        else:
            folder = _short_folder()
            server = PostgresServer.create(folder)
            server.start()
            where.write_text(str(folder))
        fcntl.flock(change, fcntl.LOCK_UN)
        try:
            yield server
        finally:
            fcntl.flock(change, fcntl.LOCK_EX)
            if _only_user(use):
                server.stop_immediate()
                shutil.rmtree(where.read_text())
                where.unlink()


def _short_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="imagebatch-postgres-"))


def _only_user(use: IO[str]) -> bool:
    try:
        fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Whom to run the server as; None: as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
