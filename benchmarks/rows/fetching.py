"""Images of 200 kB by URL from a server of this machine: how many a second, and what one costs, beside bare aiohttp."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp
import psutil
from aiohttp import web
from PIL import Image

from benchmarks import work
from benchmarks.measure import Line, Mark, Report, Round, Scale, interleave
from benchmarks.ours import Ours, serving
from benchmarks.rows.folders import data_folder
from imagebatch_client import BatchImageInput

ROW = "fetching"
RATE, COST = "images/s", "ms of processor time"
MARKS = {RATE: Mark(at_least=0.3), COST: Mark(at_most=4.0)}
SIDE = 258
"""Of a picture of noise, which as PNG has 200 kB."""

HOSTS = 8
AT_ONCE = 64
"""Fetches at one time, as the server's default allows; of each host as many as it allows, too."""


async def measure(scale: Scale, report: Report) -> None:
    items = scale.pictures * 10
    with data_folder() as folder, _picture_hosts() as hosts:
        async with serving(folder) as ours:
            urls = [f"{hosts[number % HOSTS]}/{number}" for number in range(items)]
            found = await interleave({"ours": _ours(ours, urls), "bare": _bare(urls)}, scale.rounds)
    beside = f"bare aiohttp, {AT_ONCE} at a time, which reads the bytes and no more"
    for unit, mark in MARKS.items():
        figure = (
            f"{items:,} images of 200 kB by URL, no-op, {'rate' if unit == RATE else 'server and fetching process'}"
        )
        report.add(Line(ROW, figure, unit, found["ours"][unit], beside, found["bare"][unit], mark))


def _ours(ours: Ours, urls: list[str]) -> Round:
    async def run() -> Mapping[str, float]:
        inputs = [BatchImageInput(image_url=url, metadata=work.metadata_of(index)) for index, url in enumerate(urls)]
        used_s, started_at = _used_s(ours), time.perf_counter()
        batch = await ours.client.submit("noop", inputs)
        answers = [
            result.output_data or {}
            async for update in ours.client.watch_updates(batch.batch_id)
            for result in update.results
        ]
        took_s, used_s = time.perf_counter() - started_at, _used_s(ours) - used_s
        work.check(answers, len(urls))
        return {RATE: len(urls) / took_s, COST: 1_000 * used_s / len(urls)}

    return run


def _used_s(ours: Ours) -> float:
    """Processor time of the server and of its fetching process."""
    children = psutil.Process(ours.process.process.pid).children()
    times = [child.cpu_times() for child in children if "fetching" in child.cmdline()]
    return ours.cpu_s() + sum(one.user + one.system for one in times)


def _bare(urls: list[str]) -> Round:
    async def run() -> Mapping[str, float]:
        free = asyncio.Semaphore(AT_ONCE)
        used_s, started_at = time.process_time(), time.perf_counter()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def fetch(url: str) -> int:
                async with free, session.get(url) as response:
                    return len(await response.read())

            sizes = await asyncio.gather(*(fetch(url) for url in urls))
        took_s, used_s = time.perf_counter() - started_at, time.process_time() - used_s
        if len(set(sizes)) != 1:
            raise work.WrongResults("not every image came whole")
        return {RATE: len(urls) / took_s, COST: 1_000 * used_s / len(urls)}

    return run


@contextmanager
def _picture_hosts() -> Iterator[list[str]]:
    """Run a web server in a process of its own, under several addresses of this machine."""
    process = subprocess.Popen([sys.executable, "-m", __name__], stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise RuntimeError("the web server has no output")
        port = int(process.stdout.readline())
        yield [f"http://127.0.1.{number}:{port}" for number in range(1, HOSTS + 1)]
    finally:
        process.kill()
        process.communicate()


async def _serve() -> None:
    file = io.BytesIO()
    Image.frombytes("RGB", (SIDE, SIDE), os.urandom(SIDE * SIDE * 3)).save(file, "PNG", compress_level=1)
    body = file.getvalue()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="image/png")

    app = web.Application()
    app.router.add_get("/{number}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 0, backlog=512).start()  # noqa: S104 - several addresses of this machine
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
