"""Procrastinate's application and task, for its workers and for the client."""

from __future__ import annotations

import json
import os
from typing import Any

from procrastinate import App, PsycopgConnector
from psycopg_pool import AsyncConnectionPool

from benchmarks import work

CONNINFO = os.environ["BENCHMARK_POSTGRES"]
TABLE = "CREATE TABLE results (job_id bigint PRIMARY KEY, answer text NOT NULL)"
app = App(connector=PsycopgConnector(conninfo=CONNINFO))
_pools: list[AsyncConnectionPool[Any]] = []


async def _noop(context: Any, metadata: dict[str, Any]) -> None:
    """Procrastinate keeps no results, so a job writes its own."""
    if not _pools:
        _pools.append(AsyncConnectionPool(CONNINFO, min_size=1, max_size=10, open=False, kwargs={"autocommit": True}))
        await _pools[0].open()
    async with _pools[0].connection() as connection:
        await connection.execute(
            "INSERT INTO results VALUES (%s, %s)", (context.job.id, json.dumps(work.answer(metadata)))
        )


noop = app.task(_noop, name="noop", pass_context=True)
