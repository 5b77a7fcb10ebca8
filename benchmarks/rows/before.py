"""What an item and a single cost, beside an earlier commit that runs in the same rounds.

`BEFORE` names a folder with the earlier commit and its own `.venv`: `git worktree add --detach ../before b8e8b13`, then
`make venv` there. Both servers are up, with two workers each, and take turns; they are called by bare stubs.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from tests.server import ServerProcess

from benchmarks import work
from benchmarks.measure import Line, Mark, Report, Scale, Series, Skipped, interleave, percentile
from benchmarks.ours import Ours, answers_of, serving
from benchmarks.peers import line_of
from benchmarks.rows.folders import data_folder
from benchmarks.rows.throughput import STORES, database, our_server

ROW = "before"
ITEMS, SINGLES = 10_000, 100
NO_DEARER, NO_SLOWER = Mark(at_most=1.05), Mark(at_least=0.95)

ALL, OWN, RATE, P50 = "processor time, all processes", "processor time, the server's own", "rate", "p50"
UNITS = {ALL: "ms", OWN: "ms", RATE: "items/s", P50: "ms"}
MARKS = {ALL: NO_DEARER, RATE: NO_SLOWER, P50: NO_DEARER}


async def measure(scale: Scale, report: Report) -> None:
    checkout = os.environ.get("BEFORE")
    if checkout is None:
        report.add(Skipped(ROW, "an earlier commit", "the variable BEFORE names no checkout of one"))
        return
    for store in STORES:
        with line_of(report, ROW, STORES[store]):
            await _measure(scale, report, store, Path(checkout))


async def _measure(scale: Scale, report: Report, store: str, checkout: Path) -> None:
    async with AsyncExitStack() as opened:
        now = await opened.enter_async_context(our_server(store))
        folder = opened.enter_context(data_folder())
        url = opened.enter_context(database(store))
        earlier = await opened.enter_async_context(serving(folder, database_url=url, kind=_of(checkout)))
        commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=checkout, text=True).strip()
        rounds = scale.rounds * 2  # the two differ by little, and rounds by much
        for what, one in (("an item of 10,000", _batch), ("a single", _singles)):
            found = await interleave({"now": partial(one, now), "before": partial(one, earlier)}, rounds)
            for figure, ours in found["now"].items():
                before = found["before"][figure]
                name = f"{what}, {STORES[store]}: {figure}"
                report.add(Line(ROW, name, UNITS[figure], ours, commit, before, MARKS.get(figure)))
                pairs = [mine / its for mine, its in zip(ours.values, before.values, strict=True)]
                report.add(Line(ROW, f"{name}, of pairs", "", Series(pairs)))


def _of(checkout: Path) -> type[ServerProcess]:
    """Make the kind of server that runs another commit, in its own environment."""

    class Earlier(ServerProcess):
        def __init__(self, data_dir: Path, *arguments: Any) -> None:
            super().__init__(data_dir, *arguments)
            self._command = (str(checkout / ".venv/bin/python"), *self._command[1:])
            # Of what is imported from here only the list of operations: they themselves are its own, as all else is.
            installed = self._environment["PYTHONPATH"].split(os.pathsep)[0]
            self._environment["PYTHONPATH"] = os.pathsep.join([installed, str(checkout)])

    return Earlier


async def _batch(ours: Ours) -> Mapping[str, float]:
    request_ready_at, spent = time.perf_counter(), _Spent(ours)
    batch_id = await ours.submit_messages(ITEMS)
    messages = [message async for message in ours.watch_messages(batch_id)]
    took_s = time.perf_counter() - request_ready_at
    figures = spent.figures(ITEMS)
    work.check([answer for message in messages for answer in answers_of(message)], ITEMS)
    return {**figures, RATE: ITEMS / took_s}


async def _singles(ours: Ours) -> Mapping[str, float]:
    times_ms, began_at, spent = [], time.perf_counter(), _Spent(ours)
    for index in range(SINGLES):
        asked_at = time.perf_counter()
        batch_id = await ours.submit_messages(1)
        answers = [answer async for message in ours.watch_messages(batch_id) for answer in answers_of(message)]
        times_ms.append((time.perf_counter() - asked_at) * 1e3)
        if len(answers) != 1:
            raise work.WrongResults(f"single {index} has {len(answers)} results")
    return {
        **spent.figures(SINGLES),
        P50: percentile(times_ms, 0.5),
        RATE: SINGLES / (time.perf_counter() - began_at),
    }


class _Spent:
    """Processor time of the server and its children from now on; PostgreSQL's is not among it."""

    def __init__(self, ours: Ours) -> None:
        self._server = psutil.Process(ours.process.process.pid)
        self._before = self._read()

    def figures(self, items: int) -> Mapping[str, float]:
        """Say what each of so many items took, in ms."""
        everything, own = (now - before for now, before in zip(self._read(), self._before, strict=True))
        return {ALL: everything / items / 1e6, OWN: own / items / 1e6}

    def _read(self) -> tuple[int, int]:
        own = _cpu_ns(self._server.pid)
        return own + sum(_cpu_ns(child.pid) for child in self._server.children(recursive=True)), own


def _cpu_ns(pid: int) -> int:
    """Sum up what the kernel counted for each thread, which is finer than what it tells of processes."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads)
