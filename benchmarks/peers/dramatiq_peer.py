"""Dramatiq on Redis: two processes of eight threads (one thread where every write is synced), results by pipeline."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks import work
from benchmarks.peers import Answers, Peer, in_runs, workers
from benchmarks.peers.redis_server import Fsync, running_redis

THREADS: dict[Fsync, int] = {"always": 1, "everysec": 8}
KEYS_A_READ = 1_000
PAUSE_S = 0.002
ONE_TIMEOUT_MS = 10_000


def how(fsync: Fsync) -> str:
    return f"2 processes x {THREADS[fsync]} threads, results by pipeline"


class DramatiqPeer:
    """Dramatiq's client."""

    def __init__(self, tasks: Any) -> None:
        self._noop = tasks.noop
        self._results = tasks.results

    async def batch(self, items: int) -> Answers:
        messages = [self._noop.send(work.metadata_of(index)) for index in range(items)]
        answers: list[Mapping[str, Any]] = []
        for run in in_runs(items, KEYS_A_READ):
            missing = [self._results.build_message_key(messages[index]) for index in run]
            while missing:
                with self._results.client.pipeline(transaction=False) as pipeline:
                    for key in missing:
                        pipeline.lindex(key, 0)
                    found = pipeline.execute()
                answers += [self._decoded(data) for data in found if data is not None]
                missing = [key for key, data in zip(missing, found, strict=True) if data is None]
                if missing:
                    await asyncio.sleep(PAUSE_S)
        return answers

    async def one(self, index: int) -> Mapping[str, Any]:
        message = self._noop.send(work.metadata_of(index))
        answer: Mapping[str, Any] = message.get_result(backend=self._results, block=True, timeout=ONE_TIMEOUT_MS)
        return answer

    def _decoded(self, data: bytes) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._results.unwrap_result(self._results.encoder.decode(data))
        return answer


@asynccontextmanager
async def dramatiq_on_redis(folder: Path, fsync: Fsync) -> AsyncIterator[Peer]:
    """Dramatiq with its own Redis."""
    with running_redis(folder, fsync) as url:
        os.environ["BENCHMARK_REDIS"] = url
        from benchmarks.peers import dramatiq_tasks

        tasks = importlib.reload(dramatiq_tasks) if url != dramatiq_tasks.URL else dramatiq_tasks
        command = ("dramatiq", "benchmarks.peers.dramatiq_tasks", "-p", "2", "-t", str(THREADS[fsync]))
        async with workers(folder, [command], {}):
            try:
                yield DramatiqPeer(tasks)
            finally:
                tasks.broker.close()
