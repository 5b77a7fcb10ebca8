"""Starting a child process, ending it, and saying how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from imagebatch_server.backoff import Backoff
from imagebatch_server.executors.protocol.messages import EXIT_FULL, EXIT_OUT_OF_MEMORY

CHILD = "imagebatch_server.executors.child"
"""What runs operations and fetches; a cluster's driver has a module of its own."""

_REAP_S = 5.0

# Workers are processes; a library's threads on top would fight for their cores, and each takes memory for its stack.
_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "RAYON_NUM_THREADS",
    ),
    "1",
)


class ChildProcess:
    """A child, in a session of its own: what an operation starts can be ended with it."""

    def __init__(self, role: str, shared_fd: int | None = None, *, module: str = CHILD) -> None:
        """Start one, as a new interpreter: a fork would share the server's connections and locks.

        `module` is run, `role` is what operators see in a list of processes; `shared_fd` stays open in the child.
        Raises OSError if the system can't.
        """
        self.channel_end, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = _start(module, theirs.fileno(), role, () if shared_fd is None else (shared_fd,))
        except OSError:
            self.channel_end.close()
            raise
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        self.printed: IO[bytes] = self._process.stdout
        """What it prints, to standard output or error; whoever reads it closes it."""

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def kill(self) -> None:
        """Kill it and what it started, whatever they are doing."""
        if self._process.returncode is None:  # else the id may be another's by now
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def gone(self) -> int | None:
        """Wait until it is gone and answer its exit status; None if even a killed one stays, waiting for a device."""
        loop = asyncio.get_running_loop()
        deadline, pauses = loop.time() + _REAP_S, Backoff(0.0005, 0.05)
        # Polled, for a thread that waited for a process that can't die would keep the server from stopping.
        while (status := self._process.poll()) is None and loop.time() < deadline:  # noqa: ASYNC110 - see above
            await asyncio.sleep(pauses.next_s())
        return status


def ending(status: int | None, memory_bytes: int) -> str:
    """How a child ended, to be read after "the worker"."""
    if status == EXIT_OUT_OF_MEMORY:
        return f"ran out of memory (its limit is {memory_bytes // 2**20:,} MiB)"
    if status == EXIT_FULL:
        return f"held too much memory for another chunk (its limit is {memory_bytes // 2**20:,} MiB)"
    if status is None:
        return "had to be killed and has not gone yet"
    if status == -signal.SIGKILL:
        return "was killed by SIGKILL (by hand, or because the machine ran out of memory)"
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"exited with status {status}"


def _start(module: str, channel_fd: int, role: str, shared_fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-u", "-m", module, str(channel_fd), str(os.getpid()), role],
        pass_fds=[channel_fd, *shared_fds],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """Copy the server's environment without its settings: a decoder that was taken over must find no password there."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IMAGEBATCH_")}
    import_path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**inherited, **_ONE_THREAD, "PYTHONPATH": import_path}
