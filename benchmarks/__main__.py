"""`python -m benchmarks [--quick] [row ...]`: measure rows, and put them into RESULTS.md."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from datetime import UTC, datetime

import benchmarks.without_fork_handlers  # noqa: F401 - before whatever imports gRPC
from benchmarks import kept
from benchmarks.kept import Measured
from benchmarks.machine import this_machine
from benchmarks.measure import FULL, QUICK, Report, Scale
from benchmarks.report import page
from benchmarks.rows import (
    before,
    browser,
    client,
    delay,
    describe,
    estimate,
    export,
    fetching,
    http,
    latency,
    million,
    news,
    pages,
    peers,
    ray,
    replay,
    search,
    security,
    servers,
    spread,
    startup,
    stream,
    throughput,
    tracing,
    watchers,
)

ROWS = {
    row.ROW: row
    for row in (
        throughput, before, million, peers, latency, replay, delay, news, servers, ray, spread, pages, search, export,
        watchers, http, browser, stream, fetching, estimate, describe, client, security, tracing, startup,
    )
}  # fmt: skip
RESULTS = kept.FOLDER / "RESULTS.md"


def main() -> None:
    """Measure the rows that are asked for, and write the page after each; a quick run only prints it."""
    arguments = _parser().parse_args()
    logging.disable(logging.INFO)  # peers' clients would write a line an item
    if arguments.page:
        _write_page()
        return
    measured = {}
    for name in arguments.rows or ROWS:
        measured[name] = _measure(name, QUICK if arguments.quick else FULL)
        if not arguments.quick:
            kept.keep(name, measured[name])
            _write_page()
    print(page(measured, {}) if arguments.quick else f"written to {RESULTS}")
    if not all(row.whole for row in measured.values()):
        sys.exit("not every row was measured whole")


def _measure(name: str, scale: Scale) -> Measured:
    """One row, on an event loop of its own. Where it fails, what it found before is kept, and the next one runs."""
    row = ROWS[name]
    print(f"{name} ...", flush=True)
    report = Report(say=lambda text: print(text, flush=True))
    measured_at, started_at, load = datetime.now(UTC), time.perf_counter(), os.getloadavg()[0]
    try:
        asyncio.run(row.measure(scale, report))
    except Exception as error:
        report.failed(name, "the rest of the row", error)
    took_s = time.perf_counter() - started_at
    print(f"{name}: {took_s:.0f} s", flush=True)
    title = str(row.__doc__).splitlines()[0]
    return Measured(title, measured_at, took_s, load, this_machine(), report.whole, report.lines, report.skipped)


def _write_page() -> None:
    rows, written = kept.load(), kept.notes()
    RESULTS.write_text(page({name: rows[name] for name in ROWS if name in rows}, written))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], help="rows to measure; all if none is named")
    parser.add_argument("--quick", action="store_true", help="small numbers: whether it works, not how fast")
    parser.add_argument("--page", action="store_true", help="measure nothing; write RESULTS.md of what was kept")
    return parser


if __name__ == "__main__":
    main()
