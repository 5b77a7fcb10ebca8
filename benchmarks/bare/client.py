"""The client's side of the bare limits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from grpc import aio
from tests.server import REPOSITORY

from benchmarks.bare.server import SERVICE, write_messages
from benchmarks.ours import byte_stream, open_channel


class BareServer:
    """A running bare server; its calls carry bytes, which the caller parses as it likes."""

    def __init__(self, process: subprocess.Popen[str], channel: aio.Channel, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.submit: aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(f"/{SERVICE}/Submit")
        self.run = byte_stream(channel, f"/{SERVICE}/Run")
        self.replay = byte_stream(channel, f"/{SERVICE}/Replay")
        self.paced = byte_stream(channel, f"/{SERVICE}/Paced")
        self.unary: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Unary")
        self._prepare: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Prepare")

    async def make_rows(self, database_url: str, items: int, *, with_outcomes: bool) -> None:
        """Make the rows of a new batch that `submit` writes, and with outcomes also what `run` writes and sends."""
        await self._ask(database_url=database_url, items=items, with_outcomes=with_outcomes)

    async def load(self, messages: Sequence[bytes]) -> None:
        """Give the messages that `replay`, `unary` and `paced` send."""
        path = self._folder / "bare-messages"
        write_messages(path, list(messages))
        await self._ask(messages=str(path))

    async def _ask(self, **asked: Any) -> None:
        await self._prepare(json.dumps(asked).encode())

    def cpu_s(self) -> float:
        """Processor time of the server so far."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def peak_bytes(self) -> int:
        """Measure the most memory that the server held so far."""
        return peak_bytes(self._process.pid)


@asynccontextmanager
async def bare_server(folder: Path) -> AsyncIterator[BareServer]:
    """Run a bare server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bare.server"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None  # it was piped
        port = int(process.stdout.readline())
        async with open_channel(f"127.0.0.1:{port}") as channel:
            yield BareServer(process, channel, folder)
    finally:
        process.kill()
        process.communicate()


def peak_bytes(pid: int) -> int:
    """Measure the most memory that a process held so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/{pid}/status says no VmHWM")
