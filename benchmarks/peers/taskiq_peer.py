"""Taskiq on Redis streams: 16 submits in flight, two worker processes, results by MGET on the backend's keys."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks import work
from benchmarks.peers import Answers, Peer, in_runs, workers
from benchmarks.peers.redis_server import Fsync, running_redis

IN_FLIGHT = 16
KEYS_A_READ = 1_000
PAUSE_S = 0.002
HOW = "2 workers, 16 submits in flight, results by MGET"


class TaskiqPeer:
    """Taskiq's client."""

    def __init__(self, tasks: Any) -> None:
        from redis.asyncio import Redis

        self._noop = tasks.noop
        self._backend = tasks.results
        self._redis = Redis(connection_pool=tasks.results.redis_pool)

    async def batch(self, items: int) -> Answers:
        ids: list[str] = [""] * items
        indexes = iter(range(items))

        async def submit() -> None:
            for index in indexes:
                ids[index] = (await self._noop.kiq(work.metadata_of(index))).task_id

        await asyncio.gather(*(submit() for _ in range(IN_FLIGHT)))
        answers: list[Mapping[str, Any]] = []
        for run in in_runs(items, KEYS_A_READ):
            missing = [ids[index] for index in run]
            while missing:
                found = await self._redis.mget(missing)
                answers += [self._decoded(data) for data in found if data is not None]
                missing = [key for key, data in zip(missing, found, strict=True) if data is None]
                await asyncio.sleep(PAUSE_S if missing else 0)
        return answers

    async def one(self, index: int) -> Mapping[str, Any]:
        task = await self._noop.kiq(work.metadata_of(index))
        while True:
            data = await self._redis.get(task.task_id)
            if data is not None:
                return self._decoded(data)

    def _decoded(self, data: bytes) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._backend.serializer.loadb(data)["return_value"]
        return answer


@asynccontextmanager
async def taskiq_on_redis(folder: Path, fsync: Fsync) -> AsyncIterator[Peer]:
    """Taskiq with its own Redis."""
    with running_redis(folder, fsync) as url:
        os.environ["BENCHMARK_REDIS"] = url
        import importlib

        from benchmarks.peers import taskiq_tasks

        tasks = importlib.reload(taskiq_tasks) if url != taskiq_tasks.URL else taskiq_tasks
        command = (
            "taskiq",
            "worker",
            "benchmarks.peers.taskiq_tasks:broker",
            "--workers",
            "2",
            "--log-level",
            "WARNING",
        )
        async with workers(folder, [command], {}):
            await tasks.broker.startup()
            try:
                yield TaskiqPeer(tasks)
            finally:
                await tasks.broker.shutdown()
