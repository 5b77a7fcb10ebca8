"""A text looked for in the results of a large batch: how long a page takes, and how long others wait meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from benchmarks import work
from benchmarks.measure import Line, Report, Round, Scale, Skipped, interleave, percentile
from benchmarks.ours import Ours
from benchmarks.peers import Missing
from benchmarks.postgres import running_postgres
from benchmarks.rows.finished import serving_finished
from benchmarks.rows.folders import data_folder
from imagebatch.v1 import batch_service_pb2 as pb

ROW = "search"
LIMIT = 100
TOOK, WAITED = "s", "ms, p99"
IN_ALL = "Harbour"
ASKED_EVERY_S = 0.02
READ = "SELECT output_data FROM outcomes"


async def measure(scale: Scale, report: Report) -> None:
    with data_folder() as folder:
        await _measure(scale, report, "SQLite", None, _of_sqlite(str(folder / "data" / "imagebatch.db")), folder)
    try:
        with running_postgres() as new_database, data_folder() as folder:
            url = new_database()
            await _measure(scale, report, "PostgreSQL", url, _of_postgres(url), folder)
    except Missing as missing:
        report.add(Skipped(ROW, "a text looked for, PostgreSQL", str(missing)))


async def _measure(
    scale: Scale, report: Report, store: str, url: str | None, outputs: Callable[[], Iterator[bytes]], folder: Path
) -> None:
    items = scale.page_batch_items
    rare = work.name_of(items - 2)
    async with serving_finished(folder, items, url) as (ours, batch_id):
        found = await interleave(
            {
                "rare": _search(ours, batch_id, rare, 1),
                "in all": _search(ours, batch_id, IN_ALL, items),
                "bare": _bare(outputs, rare),
                "idle": _idle(ours),
            },
            scale.long_rounds,
        )
    figure = f"{items:,} outcomes, {store}, a page of {LIMIT} of a text"
    beside = "all outputs read by the bare driver, and `in` on each"
    for name, what in (("rare", "that one output has"), ("in all", "that each output has")):
        report.add(Line(ROW, f"{figure} {what}", TOOK, found[name][TOOK], beside, found["bare"][TOOK]))
        waited = f"{figure} {what}: GetServerInfo meanwhile"
        report.add(Line(ROW, waited, WAITED, found[name][WAITED], "while nobody searches", found["idle"][WAITED]))


def _search(ours: Ours, batch_id: str, text: str, matches: int) -> Round:
    async def run() -> Mapping[str, float]:
        request = pb.GetBatchResultsRequest(batch_id=batch_id, limit=LIMIT, text=text)
        started_at = time.perf_counter()
        asked = asyncio.ensure_future(ours.stub.GetBatchResults(request))
        waits_ms = await _waits(ours, asked.done)
        page = await asked
        took_s = time.perf_counter() - started_at
        if page.pagination.total != matches or len(page.results) != min(matches, LIMIT):
            raise work.WrongResults(f"{page.pagination.total} outcomes have the text {text!r}, not {matches}")
        return {TOOK: took_s, WAITED: percentile(waits_ms, 0.99)}

    return run


def _idle(ours: Ours) -> Round:
    async def run() -> Mapping[str, float]:
        until = time.perf_counter() + 2.0
        return {WAITED: percentile(await _waits(ours, lambda: time.perf_counter() > until), 0.99)}

    return run


async def _waits(ours: Ours, is_over: Callable[[], bool]) -> list[float]:
    """Ask for something small again and again; answers how long each answer took (milliseconds)."""
    waits_ms = []
    while not is_over():
        asked_at = time.perf_counter()
        await ours.stub.GetServerInfo(pb.GetServerInfoRequest())
        waits_ms.append((time.perf_counter() - asked_at) * 1e3)
        await asyncio.sleep(ASKED_EVERY_S)
    return waits_ms


def _bare(outputs: Callable[[], Iterator[bytes]], text: str) -> Round:
    async def run() -> Mapping[str, float]:
        return await asyncio.to_thread(look)

    def look() -> Mapping[str, float]:
        wanted = text.encode().lower()
        started_at = time.perf_counter()
        matches = sum(wanted in output.lower() for output in outputs())
        if matches != 1:
            raise work.WrongResults(f"{matches} outputs have the text {text!r}, not 1")
        return {TOOK: time.perf_counter() - started_at}

    return run


def _of_sqlite(path: str) -> Callable[[], Iterator[bytes]]:
    def outputs() -> Iterator[bytes]:
        connection = sqlite3.connect(path)
        try:
            yield from (row[0] for row in connection.execute(READ))
        finally:
            connection.close()

    return outputs


def _of_postgres(url: str) -> Callable[[], Iterator[bytes]]:
    parsed = make_url(url)

    def outputs() -> Iterator[bytes]:
        with (
            psycopg.connect(host=str(parsed.query["host"]), user=parsed.username, dbname=parsed.database) as connection,
            connection.cursor("outputs", binary=True) as cursor,
        ):
            cursor.itersize = 10_000
            yield from (row[0] for row in cursor.execute(READ))

    return outputs
