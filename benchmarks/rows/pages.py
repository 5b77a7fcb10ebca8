"""A page of 1,000 items, near the start and near the end of a large batch."""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks import work
from benchmarks.bare.client import BareServer, bare_server
from benchmarks.measure import Line, Mark, Report, Round, Scale, Skipped, interleave, percentile
from benchmarks.ours import Ours
from benchmarks.peers import Missing
from benchmarks.postgres import running_postgres
from benchmarks.rows.finished import serving_finished
from benchmarks.rows.folders import data_folder
from imagebatch.v1 import batch_service_pb2 as pb
from imagebatch.v1 import types_pb2

ROW = "pages"
LIMIT = 1_000
NAME = "p50"
SAME = Mark(at_most=1.2)
BARE = Mark(at_most=3.0)


async def measure(scale: Scale, report: Report) -> None:
    await _measure(scale, report, "SQLite", None)
    try:
        with running_postgres() as new_database:
            await _measure(scale, report, "PostgreSQL", new_database())
    except Missing as missing:
        report.add(Skipped(ROW, "a page of 1,000, PostgreSQL", str(missing)))


async def _measure(scale: Scale, report: Report, store: str, database_url: str | None) -> None:
    items = scale.page_batch_items
    far = items * 9 // 10
    with data_folder() as folder:
        async with serving_finished(folder, items, database_url) as (ours, batch_id), bare_server(folder) as bare:
            page = await ours.stub.GetBatchResults(_request(batch_id, 0))
            await bare.load([page.SerializeToString()])
            found = await interleave(
                {
                    "first": _pages(ours, batch_id, 0, scale.pages),
                    "far": _pages(ours, batch_id, far, scale.pages),
                    "bare": _bare(bare, scale.pages),
                },
                scale.rounds,
            )
    figure = f"a page of {LIMIT:,} of {items:,} items, {store}, bare stubs"
    report.add(
        Line(ROW, f"{figure}: at offset {far:,}", "ms", found["far"][NAME],
             "the page at offset 0", found["first"][NAME], SAME)
    )  # fmt: skip
    report.add(
        Line(ROW, f"{figure}: at offset 0", "ms", found["first"][NAME],
             f"a bare unary call of the same {page.ByteSize():,} bytes", found["bare"][NAME], BARE)
    )  # fmt: skip


def _request(batch_id: str, offset: int) -> pb.GetBatchResultsRequest:
    return pb.GetBatchResultsRequest(batch_id=batch_id, offset=offset, limit=LIMIT)


def _pages(ours: Ours, batch_id: str, offset: int, pages: int) -> Round:
    async def run() -> Mapping[str, float]:
        times_ms = []
        for _ in range(pages):
            started_at = time.perf_counter()
            page = await ours.stub.GetBatchResults(_request(batch_id, offset))
            times_ms.append((time.perf_counter() - started_at) * 1e3)
            names = [result.output_data.fields["name"].string_value for result in page.results]
            if names != [work.name_of(index) for index in range(offset, offset + LIMIT)]:
                raise work.WrongResults(f"the page at {offset} does not hold what was asked for")
        return {NAME: percentile(times_ms, 0.5)}

    return run


def _bare(bare: BareServer, pages: int) -> Round:
    async def run() -> Mapping[str, float]:
        times_ms = []
        for _ in range(pages):
            started_at = time.perf_counter()
            page = types_pb2.BatchResults.FromString(await bare.unary(b""))
            times_ms.append((time.perf_counter() - started_at) * 1e3)
            if len(page.results) != LIMIT:
                raise work.WrongResults(f"the bare page has {len(page.results)} results")
        return {NAME: percentile(times_ms, 0.5)}

    return run
