"""What runs attempts once their images are here: processes of this machine, or of a cluster."""

from __future__ import annotations

from typing import Protocol

from imagebatch_server.batches.errors import ItemError
from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.protocol.messages import Done

CHUNK_S = 0.1
"""The work of a chunk. Well under 250 ms, because what stands in a chunk behind an item that hangs waits with it."""


class PoolEvents(Protocol):
    """What becomes of attempts; each ends in `done` or `failed`, unless the pool is stopped or nobody wants it."""

    def started(self, attempt: Attempt) -> None:
        """Hear that a worker began with it."""

    def done(self, attempt: Attempt, done: Done) -> None:
        """Hear that a worker has ended it."""

    def failed(self, attempt: Attempt, error: ItemError, run_s: float) -> None:
        """Hear that it came to no answer of a worker, after `run_s` seconds with one."""

    def progressed(self) -> None:
        """One or more of the above happened."""


class WorkerPool(Protocol):
    """Start and stop workers, give them chunks and replace those that die. Belongs to one event loop."""

    @property
    def workers(self) -> int:
        """How many workers there are when all is well."""

    @property
    def items_at_once(self) -> int:
        """How many items a worker has in flight."""

    @property
    def alive(self) -> int:
        """Workers that take chunks now."""

    @property
    def restarts(self) -> int:
        """Workers that were replaced."""

    @property
    def is_busy(self) -> bool:
        """Whether a worker has work."""

    @property
    def first_turn_ms(self) -> float:
        """The turn (`Dispatch.turn_ms`) that a worker takes next; inf if nothing is ready."""

    def expected_s(self, operation: str) -> float:
        """How long an item of the operation will take a worker (seconds)."""

    async def start(self, events: PoolEvents) -> None:
        """Start the workers, unless they start when needed, and wait for the first. Raises WorkersCannotStart."""

    def close(self) -> None:
        """Hand out no more chunks; what workers have may end."""

    async def stop(self) -> None:
        """End the workers; nothing more is reported."""

    def add(self, attempt: Attempt) -> None:
        """Let an attempt wait for a worker; its image is here."""

    def forget(self, attempt: Attempt) -> None:
        """Let go of an attempt that nobody wants any more; a worker that has it may run it all the same."""

    def pump(self) -> None:
        """Give chunks to the workers that can take one."""


class WorkersCannotStart(Exception):
    """No worker comes up; the message says how they ended."""
