"""Dramatiq's broker and actor, for its workers and for the client."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks import work

URL = os.environ["BENCHMARK_REDIS"]
results = RedisBackend(url=URL)
broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=results))
dramatiq.set_broker(broker)


noop = dramatiq.actor(work.answer, actor_name="noop", store_results=True)
