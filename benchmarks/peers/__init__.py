"""What a user would run instead, each with the settings that were found to be its fastest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from tests.server import REPOSITORY

Answers = Sequence[Mapping[str, Any]]


class Missing(Exception):
    """The peer, or the server that it needs, is not installed; the message says how to get it."""


class Peer(Protocol):
    """A running peer with two warm worker processes."""

    async def batch(self, items: int) -> Answers:
        """Submit so many no-op items as fast as can be, and answer all results, decoded."""

    async def one(self, index: int) -> Mapping[str, Any]:
        """Submit one item, and answer its result."""


@dataclass(frozen=True)
class Entrant:
    """A peer that can be started. `marks` of the issue are applied by the rows."""

    name: str
    how: str
    """Durability, settings and the way of reading results, for the table."""
    kind: str
    """`durable`, `slow` (durable, with a mark of its own) or `memory`."""
    store: str
    """Which of ours it is held against: `sqlite` or `postgres`."""
    start: Callable[[Path], AbstractAsyncContextManager[Peer]]
    round_items: int = 1_000_000
    """Most items of a round: a peer that takes minutes for a batch runs a part of it, and its rate is compared."""


@contextmanager
def _process(arguments: Sequence[str], environment: Mapping[str, str], log: IO[str]) -> Any:
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@asynccontextmanager
async def workers(
    folder: Path, commands: Sequence[Sequence[str]], environment: Mapping[str, str]
) -> AsyncIterator[None]:
    """Worker programs, `python -m ...`, that run while the block does."""
    with (folder / "workers.log").open("a") as log:
        from contextlib import ExitStack

        with ExitStack() as running:
            for command in commands:
                running.enter_context(_process(command, environment, log))
            yield


def in_runs(items: int, size: int) -> Sequence[range]:
    """Indexes in runs of at most `size`."""
    return [range(first, min(items, first + size)) for first in range(0, items, size)]
