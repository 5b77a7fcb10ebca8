"""A finished batch written to a file by `export` of our client: how fast, and in how much memory."""

from __future__ import annotations

import asyncio
import csv
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import work
from benchmarks.measure import Line, Mark, Report, Scale, Series
from benchmarks.ours import Ours
from benchmarks.rows.finished import serving_finished
from benchmarks.rows.folders import data_folder

ROW = "export"
RATE, CPU, AT_FIRST, LATER, ITEMS = "items/s", "us of client CPU an item", "first", "later", "items"
FORMATS = ("jsonl", "csv", "parquet")
READ = "read"
FLAT = Mark(at_most=1.1)
SAVED_ITEMS = 10_000
"""An export that is repeated may read so many again."""

_CHILD = """
import json, re, sys, time
from pathlib import Path
from imagebatch_client import BatchClient

address, batch_id, path = sys.argv[1:]
began, most, told = None, {"first": 0, "later": 0}, 0

def look(items, total):
    global began, told
    began = items if began is None else began
    resident_kib = int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
    name = "first" if items <= total // 10 else "later"
    most[name] = max(most[name], resident_kib / 1024)
    if items >= total // 2 and not told:
        told = items
        print(items, flush=True)

with BatchClient(address) as client:
    started_at = time.perf_counter()
    if path:
        done = client.export(batch_id, path, replace=True, on_export=lambda now: look(now.items, now.total_items))
        items = done.items
    else:
        total, items = client.get_status(batch_id).total_items, 0
        for _ in client.get_all_results(batch_id, page_size=1000):
            items += 1
            if items % 1000 == 0:
                look(items, total)
    took_s, cpu_s = time.perf_counter() - started_at, time.process_time()
print(json.dumps({"items/s": items / took_s, "us of client CPU an item": cpu_s / items * 1e6, "began": began, **most}))
"""
"""A process of its own, whose memory is the export's alone; without a path it reads the same pages and keeps nothing.

It says when it is half-way, and at the end what it took.
"""


async def measure(scale: Scale, report: Report) -> None:
    items = scale.page_batch_items
    with data_folder() as folder:
        async with serving_finished(folder, items) as (ours, batch_id):
            await against(report, ours, batch_id, folder, items)


async def against(report: Report, ours: Ours, batch_id: str, folder: Path, items: int) -> None:
    """Export a batch that a server holds, in each format."""
    beside = "the same pages read by our client, and thrown away"
    read = await _exported(ours, batch_id, "")
    for each in FORMATS:
        path = folder / f"out.{each}"
        found = await _exported(ours, batch_id, str(path))
        work.check(_ANSWERS[each](path), items)
        figure = f"{items:,} items as {each}, SQLite"
        report.add(Line(ROW, f"{figure}: rate", RATE, found[RATE], beside, read[RATE]))
        report.add(Line(ROW, f"{figure}: the client's processor time", CPU, found[CPU], beside, read[CPU]))
        memory = f"{figure}: the client's memory (RSS), most in the last nine tenths"
        report.add(Line(ROW, memory, "MiB", found[LATER], "most in the first tenth", found[AT_FIRST], FLAT))
    path = folder / "out.parquet"
    figure = f"{items:,} rows of Python values to Parquet, by PyArrow alone in portions of {SAVED_ITEMS:,}"
    report.add(Line(ROW, figure, RATE, await asyncio.to_thread(_by_pyarrow, path), beside, read[RATE]))
    await _resumed(report, ours, batch_id, path, items)


async def _resumed(report: Report, ours: Ours, batch_id: str, path: Path, items: int) -> None:
    """Kill an export half-way and repeat it: it reads little again, and the file is the same."""
    again = path.with_name(f"again{path.suffix}")
    child = await _started(ours, batch_id, str(again))
    if child.stdout is None:
        raise RuntimeError("the export prints nothing")
    reached = int(await child.stdout.readline())
    child.kill()
    await child.wait()
    found = await _exported(ours, batch_id, str(again))
    if again.read_bytes() != path.read_bytes():
        raise work.WrongResults("an export that was killed and repeated is not the same file")
    read_again = Series([max(reached - found["began"].median + 1_000, 0.0)])
    figure = f"{items:,} items as {path.suffix[1:]}, killed half-way and repeated: read again"
    report.add(Line(ROW, figure, ITEMS, read_again, "saved at one time", Series([SAVED_ITEMS]), Mark(at_most=1.2)))


async def _exported(ours: Ours, batch_id: str, path: str) -> Mapping[str, Series]:
    child = await _started(ours, batch_id, path)
    printed, _ = await child.communicate()
    if child.returncode:
        raise work.WrongResults(f"the export ended with code {child.returncode}")
    found = msgspec.json.decode(printed.splitlines()[-1], type=dict[str, float])
    return {name: Series([value]) for name, value in found.items()}


async def _started(ours: Ours, batch_id: str, path: str) -> Process:
    arguments = (ours.process.address, batch_id, path)
    return await asyncio.create_subprocess_exec(sys.executable, "-c", _CHILD, *arguments, stdout=PIPE)


def _by_pyarrow(path: Path) -> Series:
    """Write what an export has written once more; reading it is not counted."""
    took_s, rows = 0.0, 0
    file = pq.ParquetFile(path)
    with pq.ParquetWriter(path.with_name("bare.parquet"), file.schema_arrow, compression="zstd") as writer:
        for batch in file.iter_batches(SAVED_ITEMS):
            values = batch.to_pylist()
            started_at = time.perf_counter()
            writer.write_table(pa.Table.from_pylist(values, file.schema_arrow))
            took_s += time.perf_counter() - started_at
            rows += len(values)
    return Series([rows / took_s])


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
