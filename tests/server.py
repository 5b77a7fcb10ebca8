"""A real server for tests: `imagebatch serve` in a process of its own, which can be killed and started again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

READY = " listening on "
START_TIMEOUT_S = 60.0
REPOSITORY = Path(__file__).parents[1]
SERVE = (sys.executable, "-m", "imagebatch_client", "serve")


def free_port() -> int:
    """Find a port that was free a moment ago, so that a restarted server can keep its address.

    Below the ports that systems give to outgoing connections: one of those could take it while the server is down.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class ServerProcess:
    """`imagebatch serve` on one data folder and one address.

    `operations` are offered besides the installed ones: import references, `module:Class`, by name. Modules of this
    repository's root, such as `tests.operations_for_tests`, can be imported. `within` is a command that
    runs the server, such as `prlimit --nofile=1024`.
    """

    def __init__(
        self,
        data_dir: Path,
        settings: Mapping[str, str] | None = None,
        operations: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> None:
        self.data_dir = data_dir
        self._command = (*within, *SERVE)
        self.address = f"127.0.0.1:{free_port()}"
        self.log_path = data_dir.parent / f"{data_dir.name}.log"
        paths = [str(REPOSITORY), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        if operations:
            paths.insert(0, str(plugin(data_dir.parent / f"{data_dir.name}-operations", operations)))
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("IMAGEBATCH_")},
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "IMAGEBATCH_ADDRESS": self.address,
            "IMAGEBATCH_DATA_DIR": str(data_dir),
            "IMAGEBATCH_WORKERS": "1",
            "IMAGEBATCH_FETCH_ALLOWED_NETWORKS": "127.0.0.0/8",
            "IMAGEBATCH_LOG_FORMAT": "json",
            **{f"IMAGEBATCH_{name.upper()}": value for name, value in (settings or {}).items()},
        }
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        """The running process."""
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def environment(self) -> dict[str, str]:
        """What the server is started with."""
        return dict(self._environment)

    @property
    def log(self) -> str:
        """What the server has logged, over all its starts."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def start(self) -> None:
        """Start, and wait until it listens. Raises RuntimeError with the end of its log if it does not."""
        self.spawn()
        self.ready()

    def ready(self) -> None:
        """Wait until a server that was spawned listens. Raises RuntimeError as `start` does."""
        process = self.process
        output: IO[str] | None = process.stdout
        deadline = threading.Timer(START_TIMEOUT_S, process.kill)
        deadline.start()
        try:
            if output is None or not any(READY in line for line in output):
                raise RuntimeError(f"the server ended with code {process.wait()}:\n{self.log[-4000:]}")
        finally:
            deadline.cancel()

    def spawn(self) -> subprocess.Popen[str]:
        """Start, and wait for nothing."""
        with self.log_path.open("a") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        return self._process

    def kill(self) -> None:
        """Kill it as `kill -9` does."""
        self.process.kill()
        self._ended()

    def terminate(self) -> None:
        """SIGTERM, and wait for nothing."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self, timeout_s: float = 40.0) -> int:
        """SIGTERM, and wait for the end; answers the exit code."""
        self.terminate()
        return self._ended(timeout_s)

    def wait(self, timeout_s: float = 40.0) -> int:
        """Wait for the end of a server that was told to stop, or can't start; answers the exit code."""
        return self._ended(timeout_s)

    def _ended(self, timeout_s: float | None = None) -> int:
        code = self.process.wait(timeout_s)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def plugin(folder: Path, operations: Mapping[str, str]) -> Path:
    """Write what `pip install` leaves of a package with operations; on the path, it counts as installed."""
    installed = folder / "imagebatch_test_operations-0.dist-info"
    installed.mkdir(parents=True, exist_ok=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: imagebatch-test-operations\nVersion: 0\n")
    points = [f"{name} = {reference}" for name, reference in operations.items()]
    (installed / "entry_points.txt").write_text("\n".join(["[imagebatch.operations]", *points, ""]))
    return folder


@contextmanager
def running_server(
    data_dir: Path,
    settings: Mapping[str, str] | None = None,
    operations: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
) -> Iterator[ServerProcess]:
    """Run a server while the block does."""
    server = ServerProcess(data_dir, settings, operations, within)
    server.start()
    try:
        yield server
    finally:
        if server.is_running:
            server.stop()
