"""Celery on Redis: two solo workers, acks_late, prefetch 500, one producer, no subscription a result, MGET."""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks import work
from benchmarks.peers import Answers, Peer, in_runs, workers
from benchmarks.peers.redis_server import Fsync, running_redis

KEYS_A_READ = 1_000
PAUSE_S = 0.002
ONE_TIMEOUT_S = 10.0
HOW = "2 solo workers, acks_late, prefetch 500, one producer, results by MGET"


class CeleryPeer:
    """Celery's client."""

    def __init__(self, tasks: Any) -> None:
        self._noop = tasks.noop
        self._app = tasks.app
        # Celery subscribes to each result at its submit; results are read by their keys here, which is faster.
        self._app.backend.on_task_call = lambda producer, task_id: None

    async def batch(self, items: int) -> Answers:
        backend = self._app.backend
        with self._app.producer_pool.acquire(block=True) as producer:
            ids = [
                self._noop.apply_async((work.metadata_of(index),), producer=producer, argsrepr="").id
                for index in range(items)
            ]
        answers: list[Mapping[str, Any]] = []
        for run in in_runs(items, KEYS_A_READ):
            missing = [backend.get_key_for_task(ids[index]) for index in run]
            while missing:
                found = backend.mget(missing)
                answers += [self._decoded(data) for data in found if data is not None]
                missing = [key for key, data in zip(missing, found, strict=True) if data is None]
                if missing:
                    await asyncio.sleep(PAUSE_S)
        return answers

    async def one(self, index: int) -> Mapping[str, Any]:
        backend = self._app.backend
        with self._app.producer_pool.acquire(block=True) as producer:
            task = self._noop.apply_async((work.metadata_of(index),), producer=producer, argsrepr="")
        key = backend.get_key_for_task(task.id)
        deadline = time.monotonic() + ONE_TIMEOUT_S
        while (data := backend.get(key)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"item {index} had no result within {ONE_TIMEOUT_S:g} s")
        return self._decoded(data)

    def _decoded(self, data: bytes) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._app.backend.decode_result(data)["result"]
        return answer


@asynccontextmanager
async def celery_on_redis(folder: Path, fsync: Fsync) -> AsyncIterator[Peer]:
    """Celery with its own Redis."""
    with running_redis(folder, fsync) as url:
        os.environ["BENCHMARK_REDIS"] = url
        from benchmarks.peers import celery_tasks

        tasks = importlib.reload(celery_tasks) if url != celery_tasks.URL else celery_tasks
        command = ("celery", "-A", "benchmarks.peers.celery_tasks", "worker", "-P", "solo", "--loglevel", "WARNING")
        commands = [(*command, "-n", f"worker{number}@localhost") for number in range(2)]
        async with workers(folder, commands, {"C_FORCE_ROOT": "1"}):
            try:
                yield CeleryPeer(tasks)
            finally:
                tasks.app.close()
