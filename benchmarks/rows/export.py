"""A finished batch written to a file by `export` of our client: how fast, and in how much memory."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from benchmarks import work
from benchmarks.measure import Line, Mark, Report, Round, Scale, Series, interleave
from benchmarks.ours import Ours
from benchmarks.rows.finished import serving_finished
from benchmarks.rows.folders import data_folder

ROW = "export"
RATE, CPU, PEAK = "items/s", "us of client CPU an item", "MiB"
FORMATS = ("jsonl", "csv", "parquet")
READ = "read"
FIGURES = {RATE: "rate", CPU: "the client's processor time", PEAK: "the client's peak memory"}
CONSTANT = Mark(at_most=1.2)

_CHILD = """
import json, re, sys, time
from pathlib import Path
from imagebatch_client import BatchClient

address, batch_id, path = sys.argv[1:]
with BatchClient(address) as client:
    started_at = time.perf_counter()
    if path:
        items = client.export(batch_id, path, replace=True).items
    else:
        items = sum(1 for _ in client.get_all_results(batch_id, page_size=1000))
    took_s, cpu_s = time.perf_counter() - started_at, time.process_time()
peak_kib = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
cpu_us = cpu_s / items * 1e6
print(json.dumps({"items/s": items / took_s, "us of client CPU an item": cpu_us, "MiB": peak_kib / 1024}))
"""
"""A process of its own, whose memory is the export's alone; without a path it reads the same pages and keeps nothing.

Of its own memory: getrusage also counts what the process had before its program was loaded, which is the benchmark's.
"""


async def measure(scale: Scale, report: Report) -> None:
    few, many = scale.replay_items, scale.page_batch_items
    with data_folder() as folder:
        async with serving_finished(folder, few) as (ours, batch_id):
            found = await interleave(
                {each: _export(ours, batch_id, folder, each, few) for each in (*FORMATS, READ)}, scale.long_rounds
            )
    beside = "the same pages read by our client, and thrown away"
    for each in FORMATS:
        for unit, what in FIGURES.items():
            figure = f"{few:,} items as {each}, SQLite: {what}"
            report.add(Line(ROW, figure, unit, found[each][unit], beside, found[READ][unit]))
    with data_folder() as folder:
        async with serving_finished(folder, many) as (ours, batch_id):
            for each in FORMATS:
                once = await _export(ours, batch_id, folder, each, many)()
                for unit, what in FIGURES.items():
                    mark = CONSTANT if unit == PEAK else None
                    figure = f"{many:,} items as {each}, SQLite: {what}"
                    report.add(
                        Line(ROW, figure, unit, Series([once[unit]]), f"of {few:,} items", found[each][unit], mark)
                    )


def _export(ours: Ours, batch_id: str, folder: Path, kind: str, items: int) -> Round:
    async def run() -> Mapping[str, float]:
        path = folder / f"out.{kind}"
        arguments = (ours.process.address, batch_id, "" if kind == READ else str(path))
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _CHILD, *arguments, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await child.communicate()
        if child.returncode:
            raise work.WrongResults(f"the export ended with code {child.returncode}")
        if kind != READ:
            work.check(_ANSWERS[kind](path), items)
        return msgspec.json.decode(printed, type=dict[str, float])

    return run


def _of_json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open("rb") as lines:
        for line in lines:
            yield msgspec.json.decode(line)["output_data"]


def _of_csv(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield {"index": int(row["output.index"]), "name": row["output.name"]}


def _of_parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    for batch in pq.ParquetFile(path).iter_batches(columns=["output.index", "output.name"]):
        for row in batch.to_pylist():
            yield {"index": row["output.index"], "name": row["output.name"]}


_ANSWERS = {"jsonl": _of_json_lines, "csv": _of_csv, "parquet": _of_parquet}
