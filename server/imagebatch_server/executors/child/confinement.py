"""What a child does to itself before it sees the first image."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import signal
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_FULL = 0.75
"""The share of its memory that a child may hold between chunks; the rest is for the next item."""
_LOOK_S = 1.0


def bind_to_parent(parent_pid: int) -> None:
    """End with the server, however that ends, and only then.

    Ctrl-C and a service manager's SIGTERM are the server's to answer, which first lets started items finish.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        # Elsewhere the end of the socket says it, though not to a child that is busy.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(0)


def limit(memory_bytes: int) -> None:
    """Cap memory, and leave no core files of strangers' images; a crash prints where it happened."""
    # Of data rather than of addresses: models are mapped files, and allocators reserve addresses they never use.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most_bytes = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()


class MemoryWatch:
    """Look now and then at how much memory the process holds."""

    def __init__(self, memory_bytes: int) -> None:
        self._most_bytes = _FULL * memory_bytes
        self._looked_at = time.monotonic()

    def is_full(self) -> bool:
        """Whether so much memory is held that the next item might pay for what earlier ones left."""
        if time.monotonic() - self._looked_at < _LOOK_S:
            return False
        self._looked_at = time.monotonic()
        try:
            pages = int(Path("/proc/self/statm").read_bytes().split()[5])
        except FileNotFoundError:
            return False  # no Linux: only the limit itself is left
        return pages * resource.getpagesize() > self._most_bytes
