"""When a batch will end: the ranges that a status tells, beside what came."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from statistics import median
from typing import NamedTuple

from aiohttp import web

from benchmarks import work
from benchmarks.measure import Line, Mark, Report, Scale, Series
from benchmarks.ours import Ours, picture, serving
from benchmarks.rows.folders import data_folder
from imagebatch_client import BatchImageInput, BatchSubmissionResult

ROW = "estimate"
ASKED_EVERY_S = 1.0
HOLD, WIDTH = Series((0.8,)), Series((0.5,))
"""Four of five ranges are to hold, and to be no wider than half of the time that is left."""

PAUSED_S = 5.0


class Told(NamedTuple):
    """A range, and when it was told."""

    at: datetime
    earliest: datetime
    latest: datetime


Submit = Callable[[Ours, int], Awaitable[BatchSubmissionResult]]
Beside = Callable[[Ours, BatchSubmissionResult], Coroutine[None, None, None]]


async def measure(scale: Scale, report: Report) -> None:
    share = 1 if scale.long_rounds > 2 else 4
    holds: list[bool] = []
    widths: list[float] = []
    with data_folder() as folder:
        async with serving(folder, warm="paced") as ours, _slow_host() as host:
            workloads: Mapping[str, tuple[Submit, int, Beside]] = {
                "items of 10 ms": (_paced, 6_000, _nothing),
                "items of 50 ms, some of 3 s": (_varied, 800, _nothing),
                "other batches come and go": (_paced, 4_000, _others),
                "a slow host": (_of_host(host), 800, _nothing),
                "paused once": (_paced, 5_000, _pause),
            }
            for name, (submit, items, beside) in workloads.items():
                of_it: tuple[list[bool], list[float]] = ([], [])
                for _ in range(scale.long_rounds):
                    found = await _followed(ours, await submit(ours, items // share), beside)
                    of_it[0].extend(found[0])
                    of_it[1].extend(found[1])
                _add(report, name, *of_it)
                holds += of_it[0]
                widths += of_it[1]
    _add(report, "all of these", holds, widths)


def _add(report: Report, name: str, holds: Sequence[bool], widths: Sequence[float]) -> None:
    if not holds:
        raise work.WrongResults(f"no range was told: {name}")
    hold, width = Series((sum(holds) / len(holds),)), Series((median(widths),))
    told = f"{name}, {len(holds)} ranges"
    report.add(Line(ROW, f"{told}: share that hold", "", hold, "the least asked for", HOLD, Mark(at_least=1.0)))
    report.add(Line(ROW, f"{told}: median width by the time left", "", width, "the most", WIDTH, Mark(at_most=1.0)))


async def _followed(ours: Ours, batch: BatchSubmissionResult, beside: Beside) -> tuple[list[bool], list[float]]:
    """Ask for ranges until the batch has ended; answers which hold, and how wide they are."""
    told: list[Told] = []
    resumed_at = datetime.min.replace(tzinfo=UTC)
    side = asyncio.create_task(beside(ours, batch))
    while True:
        status = await ours.client.get_status(batch.batch_id)
        if status.completed_at is not None:
            break
        found, now = status.completion_range, datetime.now(UTC)
        if status.paused_at is not None:
            resumed_at = now  # what was told before somebody paused it can't hold
        if found is not None:
            told.append(Told(now, found.earliest, found.latest))
        await asyncio.sleep(ASKED_EVERY_S)
    await side
    ended, told = status.completed_at, [one for one in told if one.at > resumed_at]
    holds = [one.earliest <= ended <= one.latest for one in told]
    widths = [
        (one.latest - one.earliest).total_seconds() / max((ended - one.at).total_seconds(), 0.001) for one in told
    ]
    return holds, widths


async def _paced(ours: Ours, items: int) -> BatchSubmissionResult:
    return await ours.client.submit("paced", ours.inputs(items))


async def _varied(ours: Ours, items: int) -> BatchSubmissionResult:
    return await ours.client.submit("varied", ours.inputs(items))


def _of_host(host: str) -> Submit:
    async def submit(ours: Ours, items: int) -> BatchSubmissionResult:
        urls = (
            BatchImageInput(image_url=f"{host}/{index}", metadata=work.metadata_of(index)) for index in range(items)
        )
        return await ours.client.submit("noop", urls)

    return submit


async def _nothing(_ours: Ours, _batch: BatchSubmissionResult) -> None:
    pass


async def _others(ours: Ours, batch: BatchSubmissionResult) -> None:
    """Have other batches come, which take half of the workers for a second or two each, until the batch has ended."""
    draw = random.Random(batch.batch_id)
    while not (await ours.client.get_status(batch.batch_id)).is_terminal():
        await ours.client.submit("paced", ours.inputs(draw.randint(50, 250)))
        await asyncio.sleep(draw.uniform(1.0, 5.0))


async def _pause(ours: Ours, batch: BatchSubmissionResult) -> None:
    async with aclosing(ours.client.watch_updates(batch.batch_id)) as updates:
        async for update in updates:
            if update.status is not None and update.status.progress_percentage >= 30:
                break
    await ours.client.pause(batch.batch_id)
    await asyncio.sleep(PAUSED_S)
    await ours.client.resume(batch.batch_id)


@asynccontextmanager
async def _slow_host() -> AsyncIterator[str]:
    """Serve a picture, after 0.1 to 0.5 s."""
    data, draw = picture(), random.Random(7)

    async def answer(_request: web.Request) -> web.Response:
        await asyncio.sleep(draw.uniform(0.1, 0.5))
        return web.Response(body=data, content_type="image/png")

    app = web.Application()
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
