"""A Redis of our own: its own folder and port, append-only file on, and no other answers in its place."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import redis
from tests.server import free_port

from benchmarks.peers import Missing

Fsync = Literal["always", "everysec"]
START_TIMEOUT_S = 10.0


@contextmanager
def running_redis(folder: Path, fsync: Fsync) -> Iterator[str]:
    """Its URL. Raises Missing where redis-server is not installed, RuntimeError if another server answers."""
    program = shutil.which("redis-server")
    if program is None:
        raise Missing("redis-server is not installed: make bench-tools")
    port = free_port()
    arguments = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "save": "",
        "appendonly": "yes",
        "appendfsync": fsync,
        "logfile": str(folder / "redis.log"),
    }
    command = [program, *(word for name, value in arguments.items() for word in (f"--{name}", value))]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_for(port, process.pid, fsync)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, pid: int, fsync: Fsync) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    with redis.Redis(port=port) as client:
        while not _answers(client):
            if time.monotonic() > deadline:
                raise RuntimeError(f"redis-server did not answer on port {port}")
            time.sleep(0.05)
        if int(client.info("server")["process_id"]) != pid:
            raise RuntimeError(f"port {port}: a Redis answers that was not started here")
        settings: Any = client.config_get("append*")
        if settings["appendonly"] != "yes" or settings["appendfsync"] != fsync:
            raise RuntimeError(f"port {port}: Redis is not as durable as was asked: {settings}")


def _answers(client: Any) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
