"""A million items end to end: submitted, run, watched and read by our client, with memory over time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil

from benchmarks import work
from benchmarks.measure import Line, Mark, Report, Scale, Series, percentile
from benchmarks.ours import Ours, serving
from benchmarks.rows.folders import data_folder
from imagebatch_client import BatchClient

ROW = "million"
RATE, CPU, MEMORY = "items/s", "us of processor time", "MB"
SAMPLED_EVERY_S = 0.5
CONSTANT = Mark(at_most=1.2)
PARTS = ("server", "children", "client")


async def measure(scale: Scale, report: Report) -> None:
    items = scale.page_batch_items
    figure = f"{items:,} no-op items, SQLite FULL, our client"
    with data_folder() as folder:
        async with serving(folder) as ours, _sampled(ours) as samples:
            cpu_s, started_at = _cpu_s(ours), time.perf_counter()
            batch = await ours.client.submit("noop", ours.inputs(items))
            submitted_at = time.perf_counter()
            await _watch(ours, batch.batch_id, items)
            ran_s, cpu_s = time.perf_counter() - started_at, _cpu_s(ours) - cpu_s
            read_s = await asyncio.to_thread(_read, ours.process.address, batch.batch_id, items)
    for what, took_s in (
        ("submitted", submitted_at - started_at),
        ("submitted, run and watched to the end", ran_s),
        ("read by pages of 1,000", read_s),
    ):
        report.add(Line(ROW, f"{figure}: {what}", RATE, Series([items / took_s])))
    report.add(
        Line(ROW, f"{figure}: server, children and client, without the reading", CPU, Series([cpu_s / items * 1e6]))
    )
    for part in PARTS:
        mb = [sample[part] for sample in samples]
        tenth, rest = mb[: len(mb) // 10], mb[len(mb) // 10 :]
        report.add(
            Line(ROW, f"{figure}: memory (RSS) of {part}, most in the last nine tenths of the time", MEMORY,
                 Series([max(rest)]), f"most in the first tenth; in the middle {percentile(mb, 0.5):.0f}",
                 Series([max(tenth)]), CONSTANT)
        )  # fmt: skip


async def _watch(ours: Ours, batch_id: str, items: int) -> None:
    """Watch to the end, and keep nothing but what was seen."""
    seen = bytearray(items)
    async for result in ours.client.watch(batch_id):
        answer = result.output_data or {}
        if seen[result.item_index] or answer["name"] != work.name_of(result.item_index):
            raise work.WrongResults(f"index {result.item_index} came twice, or with another's answer")
        seen[result.item_index] = 1
    if seen.count(0):
        raise work.WrongResults(f"{seen.count(0)} of {items} results did not come")


def _read(address: str, batch_id: str, items: int) -> float:
    with BatchClient(address) as client:
        started_at = time.perf_counter()
        work.check((result.output_data or {} for result in client.get_all_results(batch_id, page_size=1_000)), items)
        return time.perf_counter() - started_at


@asynccontextmanager
async def _sampled(ours: Ours) -> AsyncIterator[list[dict[str, float]]]:
    """Take the memory of all parts again and again."""
    samples: list[dict[str, float]] = []

    async def take() -> None:
        while True:
            server = psutil.Process(ours.process.process.pid)
            samples.append(
                {
                    "server": server.memory_info().rss / 1e6,
                    "children": sum(child.memory_info().rss for child in server.children()) / 1e6,
                    "client": psutil.Process().memory_info().rss / 1e6,
                }
            )
            await asyncio.sleep(SAMPLED_EVERY_S)

    taking = asyncio.create_task(take())
    try:
        yield samples
    finally:
        taking.cancel()


def _cpu_s(ours: Ours) -> float:
    """Processor time of all parts so far."""
    server = psutil.Process(ours.process.process.pid)
    return sum(sum(each.cpu_times()[:2]) for each in (server, *server.children(), psutil.Process()))
