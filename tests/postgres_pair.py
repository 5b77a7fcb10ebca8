"""PostgreSQL and its synchronous standby, each at an address of its own: one may die, and the other takes its place."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
from sqlalchemy import make_url
from tests.postgres import ROLE, PostgresServer, short_folder
from tests.server import free_port

STREAMS_WITHIN_S = 60.0


class PairedServer(PostgresServer):
    """One of the two, reached by TCP at `port`."""

    _listen_addresses = "127.0.0.1"

    def __init__(self, programs: Path, folder: Path, port: int | None = None) -> None:
        super().__init__(programs, folder)
        self.port = port or free_port()

    def copy(self, folder: Path, port: int) -> PairedServer:
        """Make a standby in an empty folder, from what this one holds."""
        standby = PairedServer(self._programs, folder, port)
        standby._run(
            "pg_basebackup", f"--dbname={self._address}", "--checkpoint=fast", "--no-sync", "--write-recovery-conf"
        )
        return standby

    def kill(self) -> None:
        """Kill each of its processes, as a machine does that loses its power."""
        postmaster = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        processes = [postmaster, *postmaster.children()]
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # they end by themselves without their postmaster
                process.kill()
        psutil.wait_procs(processes)

    def wait_for_standby(self) -> None:
        """Commit, from now on, what is on a standby's disk too."""
        with self._connection() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            deadline = time.monotonic() + STREAMS_WITHIN_S
            while not connection.execute("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'").rowcount:
                assert time.monotonic() < deadline, "the standby does not stream"
                time.sleep(0.05)

    @property
    def _address(self) -> str:
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/postgres"

    def _connection(self) -> psycopg.Connection:
        return psycopg.connect(self._address, autocommit=True)

    def _start(self, options: str) -> None:
        # The machine goes on, so what was written is there: syncing would only take time.
        super()._start(f"{options} -c port={self.port} -c fsync=off")


class Pair:
    """A primary that commits nothing before its standby has it, until `fail_over`; and again after `mend`."""

    def __init__(self, folder: Path) -> None:
        """`folder` is empty."""
        self._folder = folder
        folder.chmod(0o755)  # for the user that they run as
        self.primary = PairedServer.create(self._made("one"))
        self.primary.start()
        self.standby = self.primary.copy(self._made("two"), free_port())
        self._stream()

    def create_database(self) -> str:
        """Make an empty database and answer its URL, which leads to whichever of the two takes writers."""
        database = make_url(self.primary.create_database()).database
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (self.primary, self.standby))
        return f"postgresql+psycopg://{ROLE}@/{database}?{hosts}&target_session_attrs=read-write"

    def fail_over(self) -> None:
        """Kill the primary, and have the standby take its place, with no standby of its own."""
        self.primary.kill()
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def mend(self) -> None:
        """Make the one that was killed the standby, from what the other holds."""
        shutil.rmtree(self.standby.folder)
        self.standby = self.primary.copy(self._made(self.standby.folder.name), self.standby.port)
        self._stream()

    def close(self) -> None:
        for server in (self.primary, self.standby):
            if server.is_running():
                server.stop_immediate()

    def _stream(self) -> None:
        self.standby.start()
        self.primary.wait_for_standby()

    def _made(self, name: str) -> Path:
        (self._folder / name).mkdir()
        return self._folder / name


@contextmanager
def postgres_pair() -> Iterator[Pair]:
    """Run a pair while the block does."""
    folder = short_folder()
    try:
        pair = Pair(folder)
        try:
            yield pair
        finally:
            pair.close()
    finally:
        shutil.rmtree(folder)
