"""A real server for tests: `imagebatch serve` in a process of its own, which can be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

READY = " listening on "
START_TIMEOUT_S = 60.0


def free_port() -> int:
    """A port that was free a moment ago, so that a restarted server can keep its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServerProcess:
    """`imagebatch serve` on one data folder and one address."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.address = f"127.0.0.1:{free_port()}"
        self.log_path = data_dir.parent / f"{data_dir.name}.log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("IMAGEBATCH_")},
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
    def log(self) -> str:
        """What the server has logged, over all its starts."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def start(self) -> None:
        """Start, and wait until it listens."""
        with self.log_path.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "imagebatch_client.cli.main", "serve"],
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        _wait_for_ready(self._process, self)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = 40.0) -> int:
        """SIGTERM, and wait for the end; answers the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


def _wait_for_ready(process: subprocess.Popen[str], server: ServerProcess) -> None:
    output: IO[str] | None = process.stdout
    if output is None:
        raise RuntimeError("the server has no output")
    for line in output:
        if READY in line:
            return
    raise RuntimeError(f"the server ended with code {process.wait(START_TIMEOUT_S)}:\n{server.log[-4000:]}")


@contextmanager
def running_server(data_dir: Path, settings: Mapping[str, str] | None = None) -> Iterator[ServerProcess]:
    """A server that runs while the block does."""
    server = ServerProcess(data_dir, settings)
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
