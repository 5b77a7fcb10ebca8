"""A real PostgreSQL server for tests: its own cluster in a temporary folder, reached by a Unix socket, fsync on.

PostgreSQL refuses to run as root, so under root its programs run as another user.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

import psycopg
import pytest
from sqlalchemy import make_url
from tests.conftest import postgres_programs

from imagebatch_server.store.database import Database
from imagebatch_server.store.migrate import migrate

ROLE = "imagebatch"
MIGRATED = "migrated"
PROGRAM_TIMEOUT_S = 60


class PostgresServer:
    """One cluster in `folder`; it may be stopped and started at will, and its data stays."""

    port = 5432
    _listen_addresses = ""

    def __init__(self, programs: Path, folder: Path) -> None:
        """`folder` is open to the user that the server runs as; its path is short, for a socket's name is limited."""
        self._programs = programs
        self._folder = folder
        self._data = folder / "data"
        self._user = _unprivileged_user()
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Make a cluster in an empty folder, or skip the test where PostgreSQL is not installed."""
        programs = postgres_programs()
        if programs is None:
            pytest.skip("PostgreSQL's programs are not installed: make postgres")
        server = cls(programs, folder)
        server._run("initdb", "--auth=trust", f"--username={ROLE}", "--encoding=UTF8", "--no-locale")
        return server

    def start(self) -> None:
        """Start it and wait until it answers; after `stop_immediate` it recovers from its log first."""
        self._start("-c fsync=on")

    def become_standby(self, *, hot_standby: str) -> None:
        """Start it, stopped before, as a standby that waits for a log; it takes readers if `hot_standby` is "on"."""
        (self._data / "standby.signal").touch()
        if self._user is not None:
            os.chown(self._data / "standby.signal", self._user.pw_uid, self._user.pw_gid)
        self._start(f"-c hot_standby={hot_standby}")

    def promote(self) -> None:
        """Have a standby take writers."""
        self._run("pg_ctl", "promote", "--wait")

    def stop(self) -> None:
        """Stop it in good order, ending every connection."""
        self._run("pg_ctl", "stop", "--wait", "--mode=fast")

    def stop_immediate(self) -> None:
        """Stop it as a crash would: nothing is flushed, and the next start recovers."""
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate")

    def is_running(self) -> bool:
        """Whether the server's process is there."""
        return self._command("pg_ctl", "status").returncode == 0

    def create_database(self, template: str = "template1") -> str:
        """Make an empty database, or a copy of another one, and answer its URL."""
        name = f"test_{uuid.uuid4().hex}"
        with self._connection() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return self._url(name)

    def create_migrated(self) -> None:
        """Make the database of which `MIGRATED` is the name: to copy it takes a tenth of what migrating takes."""
        with self._connection() as connection:
            connection.execute(f"CREATE DATABASE {MIGRATED}".encode())
        database = Database(self._url(MIGRATED))
        asyncio.run(migrate(database))
        database.close()

    def set_aside(self, url: str, name: str) -> None:
        """Give a database another name, and leave an empty one in its place; nobody may be connected to it."""
        database = make_url(url).database
        with self._connection() as connection:
            connection.execute(f"ALTER DATABASE {database} RENAME TO {name}".encode())
            connection.execute(f"CREATE DATABASE {database}".encode())

    def bring_back(self, url: str, name: str) -> None:
        """Put a database that was set aside in the place of the one that is there."""
        self.drop_database(url)
        with self._connection() as connection:
            connection.execute(f"ALTER DATABASE {name} RENAME TO {make_url(url).database}".encode())

    def drop_database(self, url: str) -> None:
        """Remove a database that `create_database` made, whoever is still connected to it."""
        with self._connection() as connection:
            connection.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)".encode())

    @property
    def folder(self) -> Path:
        """Where its socket is."""
        return self._folder

    @property
    def socket(self) -> Path:
        """Where it is reached."""
        return self._folder / f".s.PGSQL.{self.port}"

    @property
    def as_its_user(self) -> dict[str, Any]:
        """Arguments of `subprocess` that run a program as the user that the server runs as."""
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _url(self, name: str) -> str:
        return f"postgresql+psycopg://{ROLE}@/{name}?host={self._folder}"

    def _connection(self) -> psycopg.Connection:
        return psycopg.connect(host=str(self._folder), user=ROLE, dbname="postgres", autocommit=True)

    def _start(self, options: str) -> None:
        options += f" -c listen_addresses='{self._listen_addresses}' -c unix_socket_directories='{self._folder}'"
        self._run("pg_ctl", "start", "--wait", f"--log={self._folder / 'log'}", f"--options={options}")

    def _run(self, program: str, *arguments: str) -> None:
        done = self._command(program, *arguments)
        if done.returncode != 0:
            log = self._folder / "log"
            raise RuntimeError(f"{program} failed: {done.stderr}{log.read_text() if log.exists() else ''}")

    def _command(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._programs / program), f"--pgdata={self._data}", *arguments],
            **self.as_its_user,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROGRAM_TIMEOUT_S,
            check=False,
        )


@contextmanager
def own_server() -> Iterator[PostgresServer]:
    """Run a server for one test alone, which may break it."""
    folder = short_folder()
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
def pooled(server: PostgresServer, url: str, port: int) -> Iterator[str]:
    """Make the URL of a database behind PgBouncer, which lends a session for a transaction at a time."""
    program = shutil.which("pgbouncer")
    assert program is not None
    folder = short_folder()
    folder.chmod(0o755)  # for the user that it runs as
    (folder / "users").write_text(f'"{ROLE}" ""\n')
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n* = host={server.folder}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {folder / 'users'}\npool_mode = transaction\n"
        "ignore_startup_parameters = options, extra_float_digits\n"
        "server_login_retry = 1\n"
    )
    log = folder / "log"  # a pipe that nobody reads would fill, and stop it
    with (
        log.open("w") as stderr,
        subprocess.Popen([program, str(configuration)], stderr=stderr, **server.as_its_user) as process,
    ):
        try:
            while "process up" not in log.read_text():
                assert process.poll() is None, log.read_text()
                time.sleep(0.02)
            yield f"postgresql+psycopg://{ROLE}@127.0.0.1:{port}/{make_url(url).database}"
        finally:
            process.kill()
            shutil.rmtree(folder)


@contextmanager
def session_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Run a server that all processes of a test session share, with a database `MIGRATED`; the last stops it.

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
            folder = short_folder()
            server = PostgresServer.create(folder)
            server.start()
            server.create_migrated()
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


def short_folder() -> Path:
    """Make a folder for a PostgreSQL, which it may be removed with."""
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
