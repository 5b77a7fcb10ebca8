"""The memory that the server's process may use, and how its own budgets fit into that."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import threading
from collections import defaultdict
from dataclasses import dataclass
from functools import cache

from imagebatch_server.app.machine import share_of_machine
from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.errors import CannotStart
from imagebatch_server.rpc.batch_service import RENDERING_BYTES
from imagebatch_server.rpc.request_memory import COST

ADDRESSES = "ulimit -v"
"""The source of a limit on addresses: it counts what is reserved and never used."""

DATA = "ulimit -d"
"""The source of a limit on what the process may write to: what it has reserved for that counts too."""

SHARED = "the machine or its container"
"""The source of a limit that is for the workers too."""

LEAST_RESERVE_BYTES = 32 * 1024 * 1024
"""For requests of a few callers to come in by at one time."""

A_CHILD_BYTES = 200 * 1024 * 1024
"""What a child process takes at the least, where its memory counts with the server's."""

_BUDGETS_SHARE = 0.7
"""Of what is free at start, the part that budgets may add up to; the rest is for the database, buffers and gaps."""

_RESERVE_SHARE = 0.3
"""The same rest: with less left than that, requests are refused before they come in."""

_STACK_BYTES = 2 * 1024 * 1024
"""Of a thread: most systems reserve 8 MiB."""

_TO_COME_BYTES = defaultdict(lambda: 40 * 1024 * 1024, {ADDRESSES: 80 * 1024 * 1024, DATA: 80 * 1024 * 1024})
"""By source, what the parts that are opened later take of a limit; where reserving counts, their threads' stacks."""

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8


class TooLittleMemory(CannotStart):
    """The limit on memory leaves nothing for requests; the message says what would do."""


@dataclass(frozen=True)
class MemoryLimit:
    """The least of the limits that were found, and which one it is."""

    limit_bytes: int
    source: str
    is_of_one_process: bool = False


@dataclass(frozen=True)
class Memory:
    """How the server's own budgets, in bytes, fit into the limit. Workers have theirs besides (WORKER_MEMORY_BYTES).

    `used` is what the process takes before the first request, `children` what is left to workers where the limit is for
    them too. Staged items are counted as requests while they come in; `reserve` is what is kept free for those that
    are on the way. `is_short` says that budgets were lowered to fit.
    """

    limit: int
    source: str
    used: int
    children: int
    requests: int
    rendering: int
    fetch: int
    ready: int
    reserve: int
    max_request: int
    is_short: bool

    @property
    def total(self) -> int:
        """What all of it adds up to."""
        return self.used + self.children + self.requests + self.rendering + self.fetch + self.ready + self.reserve

    def free(self) -> int:
        """Measure what the limit leaves to this process now."""
        return self.limit - self.children - _used_bytes(self.source)


def find_limit() -> MemoryLimit:
    """Find the least limit on this process's memory: its own, or the machine's or its container's."""
    found = []
    for number, name in ((resource.RLIMIT_AS, ADDRESSES), (resource.RLIMIT_DATA, DATA)):
        soft, _ = resource.getrlimit(number)
        if soft != resource.RLIM_INFINITY:
            found.append(MemoryLimit(soft, name, is_of_one_process=True))
    shared_bytes = share_of_machine().memory_bytes
    if shared_bytes is not None:
        found.append(MemoryLimit(shared_bytes, SHARED))
    return min(found, key=lambda one: one.limit_bytes, default=MemoryLimit(sys.maxsize, "no limit that was found"))


def share_out(limit: MemoryLimit, settings: Settings) -> Memory:
    """Fit the budgets into a limit, all lowered by one factor where they don't fit. Raises TooLittleMemory."""
    used = _used_bytes(limit.source) + _TO_COME_BYTES[limit.source]
    children = (
        0 if limit.is_of_one_process else A_CHILD_BYTES * (settings.workers + 2)
    )  # asynchronous operations, fetches
    free = max(0, limit.limit_bytes - used - children)
    ready = 2 * settings.ready_memory_bytes  # one for each lane
    wanted = settings.request_memory_bytes + RENDERING_BYTES + settings.fetch_memory_bytes + ready
    factor = min(1.0, _BUDGETS_SHARE * free / wanted)
    requests = int(factor * settings.request_memory_bytes)
    reserve = min(requests, int(_RESERVE_SHARE * free))
    if reserve < min(LEAST_RESERVE_BYTES, settings.request_memory_bytes):
        least = used + children + int(LEAST_RESERVE_BYTES / _RESERVE_SHARE)
        raise TooLittleMemory(
            f"{limit.source} allows {limit.limit_bytes} bytes of memory, and this server needs {least} with these "
            f"settings: it and its workers take {used + children} before the first request; allow more, or have fewer "
            "--workers"
        )
    return Memory(
        limit=limit.limit_bytes,
        source=limit.source,
        used=used,
        children=children,
        requests=requests,
        rendering=int(factor * RENDERING_BYTES),
        fetch=int(factor * settings.fetch_memory_bytes),
        ready=int(factor * ready),
        reserve=reserve,
        max_request=min(settings.max_request_bytes, requests // COST),
        is_short=factor < 1,
    )


def reserve_little() -> None:
    """Have threads that are yet to start reserve few addresses, which limits may count: 64 MiB each, else."""
    threading.stack_size(_STACK_BYTES)
    _set_allocator(_M_ARENA_MAX, 2)


def give_memory_back() -> None:
    """Have the C library return what is freed."""
    _set_allocator(_M_MMAP_THRESHOLD, 32 * 1024)  # larger blocks go back at once


def _set_allocator(parameter: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(parameter, value)


@cache
def _statm() -> int:
    """Open what the system says of this process's memory, for good."""
    return os.open("/proc/self/statm", os.O_RDONLY)


def _used_bytes(source: str) -> int:
    """Measure what the process uses of a limit; 0 where that can't be told."""
    if not sys.platform.startswith("linux"):
        return 0
    size, resident, _shared, _code, _, data, *_ = os.pread(_statm(), 200, 0).split()
    return resource.getpagesize() * int({ADDRESSES: size, DATA: data}.get(source, resident))
