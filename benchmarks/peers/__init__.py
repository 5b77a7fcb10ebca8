"""What a user would run instead, each with the settings that were found to be its fastest."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from tests.server import REPOSITORY

from benchmarks.measure import Report, Round, Skipped, said

Answers = Sequence[Mapping[str, Any]]
ROUND_TIMEOUT_S = 300.0


class Missing(Exception):
    """The peer, or the server that it needs, is not installed or did not work; the message says why."""


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
    """Most items of a round: a slow peer runs a part of the batch, and its rate is compared."""
    largest_batch: int = 10_000
    """The largest of our batches that it is held against."""


@asynccontextmanager
async def running(entrant: Entrant, folder: Path) -> AsyncIterator[Peer]:
    """Start the peer. Raises Missing where it can't be started."""
    async with AsyncExitStack() as opened:
        with _failures("did not start"):
            peer = await opened.enter_async_context(entrant.start(folder))
        yield peer


def attempted(peers_round: Round) -> Round:
    """Run the round; raises Missing where the peer fails, so that only its own figure is left out."""

    async def run() -> Mapping[str, float]:
        with _failures(f"failed in a round (of {ROUND_TIMEOUT_S:g} s at most)"):
            async with asyncio.timeout(ROUND_TIMEOUT_S):
                return await peers_round()

    return run


@contextmanager
def line_of(report: Report, row: str, figure: str) -> Iterator[None]:
    """Make a function that measures and adds a line; where it fails, the reason is reported, and the others go on."""
    try:
        yield
    except Missing as missing:
        report.add(Skipped(row, figure, str(missing)))
    except Exception as error:
        report.failed(row, figure, error)


@contextmanager
def _failures(what: str) -> Iterator[None]:
    try:
        yield
    except Missing:
        raise
    except Exception as error:
        raise Missing(f"it {what}: {said(error)}") from error


@contextmanager
def program(arguments: Sequence[str], environment: Mapping[str, str], log: IO[str]) -> Iterator[subprocess.Popen[Any]]:
    """`python -m ...`, that runs while the block does."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # as our workers: Linux may give a session its share of a busy processor
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
    with (folder / "workers.log").open("a") as log, ExitStack() as started:
        for command in commands:
            started.enter_context(program(command, environment, log))
        yield


def in_runs(items: int, size: int) -> Sequence[range]:
    """Indexes in runs of at most `size`."""
    return [range(first, min(items, first + size)) for first in range(0, items, size)]
