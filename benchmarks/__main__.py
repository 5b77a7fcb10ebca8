"""`python -m benchmarks [--quick] [--out FILE] [row ...]`: measure, and write the table."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from pathlib import Path

from benchmarks.measure import FULL, QUICK, Report, Scale
from benchmarks.report import markdown
from benchmarks.rows import client, delay, describe, latency, pages, replay, startup, stream, throughput, watchers

ROWS = {
    row.ROW: row
    for row in (throughput, latency, replay, delay, pages, watchers, stream, describe, client, startup)
}  # fmt: skip
RESULTS = Path(__file__).parent / "RESULTS.md"


def main() -> None:
    """Measure the rows that are asked for. A whole full run writes RESULTS.md; any other prints its table."""
    arguments = _parser().parse_args()
    scale: Scale = QUICK if arguments.quick else FULL
    rows = arguments.rows or list(ROWS)
    logging.disable(logging.INFO)  # peers' clients would write a line an item
    report = Report(say=lambda text: print(text, flush=True))
    asyncio.run(_measure(rows, scale, report))
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    page = markdown(report.lines, scale, command)
    out = arguments.out or (RESULTS if scale is FULL and rows == list(ROWS) else None)
    if out is None:
        print(page)
    else:
        out.write_text(page)
        print(f"written to {out}")


async def _measure(rows: list[str], scale: Scale, report: Report) -> None:
    for name in rows:
        started_at = time.perf_counter()
        report.say(f"{name} ...")
        await ROWS[name].measure(scale, report)
        report.say(f"{name}: {time.perf_counter() - started_at:.0f} s")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], help="rows to measure; all if none is named")
    parser.add_argument("--quick", action="store_true", help="small numbers: whether it works, not how fast")
    parser.add_argument("--out", type=Path, help="where to write the table")
    return parser


if __name__ == "__main__":
    main()
