"""Procrastinate on PostgreSQL: jobs deferred 2,000 at a time, two workers of concurrency 10, results in a table."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from benchmarks import work
from benchmarks.peers import Answers, Peer, in_runs, workers
from benchmarks.postgres import running_postgres

JOBS_A_DEFER = 2_000
PAUSE_S = 0.005
ONE_PAUSE_S = 0.0005
HOW = "batch_defer_async 2,000 at a time, 2 workers x concurrency 10, results from the user's own table"


class ProcrastinatePeer:
    """Procrastinate's client."""

    def __init__(self, tasks: Any, connection: psycopg.AsyncConnection[Any]) -> None:
        self._noop = tasks.noop
        self._connection = connection

    async def batch(self, items: int) -> Answers:
        ids: list[int] = []
        for run in in_runs(items, JOBS_A_DEFER):
            ids += await self._noop.batch_defer_async(*({"metadata": work.metadata_of(index)} for index in run))
        answers: list[Mapping[str, Any]] = []
        for run in in_runs(items, JOBS_A_DEFER):
            missing = {ids[index] for index in run}
            while missing:
                found = await self._read(list(missing))
                answers += [json.loads(answer) for _, answer in found]
                missing -= {job_id for job_id, _ in found}
                await asyncio.sleep(PAUSE_S if missing else 0)
        return answers

    async def one(self, index: int) -> Mapping[str, Any]:
        job_id = await self._noop.defer_async(metadata=work.metadata_of(index))
        while True:
            found = await self._read([job_id])
            if found:
                answer: Mapping[str, Any] = json.loads(found[0][1])
                return answer
            await asyncio.sleep(ONE_PAUSE_S)

    async def _read(self, ids: list[int]) -> list[tuple[int, str]]:
        cursor = await self._connection.execute("SELECT job_id, answer FROM results WHERE job_id = ANY(%s)", (ids,))
        return await cursor.fetchall()


@asynccontextmanager
async def procrastinate_on_postgres(folder: Path) -> AsyncIterator[Peer]:
    """Procrastinate with its own PostgreSQL."""
    with running_postgres() as new_database:
        url = make_url(new_database())
        conninfo = f"host={url.query['host']} user={url.username} dbname={url.database}"
        os.environ["BENCHMARK_POSTGRES"] = conninfo
        from benchmarks.peers import procrastinate_tasks

        tasks = (
            importlib.reload(procrastinate_tasks) if conninfo != procrastinate_tasks.CONNINFO else procrastinate_tasks
        )
        async with (
            tasks.app.open_async(),
            await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection,
        ):
            await tasks.app.schema_manager.apply_schema_async()
            await connection.execute(tasks.TABLE)
            command = ("procrastinate", "--app=benchmarks.peers.procrastinate_tasks.app", "worker", "-c", "10")
            async with workers(folder, [command, command], {"PYTHONPATH": os.pathsep.join(sys.path)}):
                yield ProcrastinatePeer(tasks, connection)
