"""Taskiq's broker and task, for its workers and for the client."""

from __future__ import annotations

import os
from typing import Any

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks import work

URL = os.environ["BENCHMARK_REDIS"]
results: RedisAsyncResultBackend[dict[str, Any]] = RedisAsyncResultBackend(URL)
broker = RedisStreamBroker(URL).with_result_backend(results)


async def _noop(metadata: dict[str, Any]) -> dict[str, Any]:
    return work.answer(metadata)


noop = broker.register_task(_noop, task_name="noop")
