"""Work spread over 1, 2 and 3 servers with a worker each: how near it comes to so many times what one does.

One operation waits 200 ms an item, as one that asks an endpoint, and so needs next to no processor; the other one is
`describe`, which needs a processor for each worker. Every server is given a batch of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack

from benchmarks import operations, work
from benchmarks.fleet import several_servers
from benchmarks.measure import Line, Mark, Report, Round, Scale, Series, Skipped, interleave
from benchmarks.ours import Ours, answers_of
from benchmarks.peers import Missing
from benchmarks.rows.describe import photographs
from imagebatch_client import BatchImageInput, BatchItemStatus

ROW = "spread"
COUNTS = (1, 2, 3)
RATE = "items/s"
MARK = Mark(at_least=0.8)
DESCRIBE = "describe"

Run = Callable[[Ours, int], Awaitable[None]]
"""Run a batch of so many items at a server. Raises WrongResults."""


async def measure(scale: Scale, report: Report) -> None:
    try:
        await _measure_one(scale, report, operations.Waiting.name, _wait, needs_processors=False)
        load, cores = os.getloadavg()[0], os.cpu_count() or 1
        if load > cores:
            why = f"others had the processors: the load was {load:.0f}, on {cores} of them"
            report.add(Skipped(ROW, DESCRIBE, why))
            return
        await _measure_one(scale, report, DESCRIBE, _Describe().run, needs_processors=True)
    except Missing as error:
        report.add(Skipped(ROW, "several servers", str(error)))


async def _measure_one(scale: Scale, report: Report, operation: str, run: Run, *, needs_processors: bool) -> None:
    async with AsyncExitStack() as opened:
        fleets = {
            str(count): await opened.enter_async_context(several_servers(count, warm=operation)) for count in COUNTS
        }
        rounds = {count: _round(fleet, run, scale.spread_items) for count, fleet in fleets.items()}
        found = await interleave(rounds, scale.long_rounds)
    one, cores = found["1"][RATE], os.cpu_count() or 1
    report.add(Line(ROW, f"{operation}, 1 server", RATE, one))
    for count in COUNTS[1:]:
        has_cores = cores >= count or not needs_processors
        lacking = "" if has_cores else f" (of processors that are {cores})"
        linear = Series([value * count for value in one.values])
        report.add(
            Line(ROW, f"{operation}, {count} servers{lacking}", RATE, found[str(count)][RATE],
                 f"{count} times one server", linear, MARK if has_cores else None)
        )  # fmt: skip


def _round(fleet: Sequence[Ours], run: Run, items: int) -> Round:
    async def measured() -> Mapping[str, float]:
        began_at = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for ours in fleet:
                group.create_task(_run(run, ours, items))
        return {RATE: items * len(fleet) / (time.perf_counter() - began_at)}

    return measured


async def _run(run: Run, ours: Ours, items: int) -> None:
    await run(ours, items)


async def _wait(ours: Ours, items: int) -> None:
    batch_id = await ours.submit_messages(items, operations.Waiting.name)
    work.check([answer async for message in ours.watch_messages(batch_id) for answer in answers_of(message)], items)


class _Describe:
    """Photographs, uploaded once at each server, described again and again."""

    def __init__(self) -> None:
        self._photographs = photographs()
        self._keys: dict[int, list[str]] = {}

    async def run(self, ours: Ours, items: int) -> None:
        if id(ours) not in self._keys:
            uploaded = [await ours.client.upload_image(data) for data in self._photographs]
            self._keys[id(ours)] = [each.object_key for each in uploaded]
        keys = itertools.islice(itertools.cycle(self._keys[id(ours)]), items)
        batch = await ours.client.submit(DESCRIBE, [BatchImageInput(object_key=key) for key in keys])
        results = [result async for result in ours.client.watch(batch.batch_id)]
        succeeded = sorted(each.item_index for each in results if each.status is BatchItemStatus.SUCCESS)
        if succeeded != list(range(items)):
            raise work.WrongResults(f"{len(succeeded)} of {items} images were described")
