"""A ProcessPoolExecutor, which keeps nothing: two processes, items one by one."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks import work
from benchmarks.peers import Answers, Peer


class PoolPeer:
    """The executor."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    async def batch(self, items: int) -> Answers:
        return list(self._pool.map(work.answer, map(work.metadata_of, range(items)), chunksize=1))

    async def one(self, index: int) -> Mapping[str, Any]:
        return self._pool.submit(work.answer, work.metadata_of(index)).result()


@asynccontextmanager
async def process_pool(folder: Path) -> AsyncIterator[Peer]:
    """Two spawned processes."""
    # Sessions of their own, as our workers: Linux may give a session its share of a busy processor.
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), initializer=os.setsid) as pool:
        yield PoolPeer(pool)
