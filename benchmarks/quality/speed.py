"""How fast each operation is: through the service beside a plain process pool, and what an image costs a worker.

    python -m benchmarks.quality.speed

It puts its tables into RESULTS.md. The photographs have to be there (`python -m benchmarks.quality.fetch`).
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import kept, operation_speed
from benchmarks.bare.client import peak_bytes
from benchmarks.measure import Line, percentile, summary
from benchmarks.ours import Ours, serving
from benchmarks.quality import chapters, report
from benchmarks.quality.fetch import photographs
from benchmarks.report import table
from benchmarks.rows.folders import data_folder
from imagebatch_client import BatchImageInput
from imagebatch_server.operations.thumbnail import Thumbnail
from imagebatch_vision.describe import Describe
from imagebatch_vision.verify import Verify

TRIALS = {"describe": (2, 3), "verify": (6, 5), "thumbnail": (15, 5)}
"""How often a round runs each photograph, and rounds: enough for start and end not to count."""

HEAD = """
Each operation with its own defaults, on the photographs of packages. Both sides have two warm processes whose libraries
use one thread, take the same files as bytes, reduce them in decoding alike, and run round by round in turn; the answer
to each photograph is the same on both sides and in every round. The service also takes the batch, keeps each outcome
durably and streams it to the client, all within its figure.

"""

COSTS = """

What an image takes of a worker, alone on the service, each photograph once: processor time of the worker's child, and
its memory at the end. Private is what the child alone holds; the rest is shared with other processes.

| operation | photographs | processor time, median | nine of ten within | resident | private | at most |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Cost:
    """Of one operation, to the one child of a server's only worker."""

    cpu_ms: Sequence[float]
    resident_mb: float
    private_mb: float
    peak_mb: float


def main() -> None:
    files = [it.path.read_bytes() for it in photographs()]
    lines, costs = [], {}
    for operation, (times, rounds) in TRIALS.items():
        lines.append(asyncio.run(_beside_a_pool(operation, files, times, rounds)))
        costs[operation] = asyncio.run(_cost(operation, files))
        sys.stdout.write(f"{summary(lines[-1])}\n")
    made_by = report.made_by("python -m benchmarks.quality.speed", Describe, Verify, Thumbnail)
    rows = [_row(operation, cost) for operation, cost in costs.items()]
    note = kept.notes().get("speed", "").strip()
    parts = [made_by, HEAD, "\n".join(table(lines)), f"\n\n{note}" if note else "", COSTS, "\n".join(rows)]
    chapters.write(chapters.SPEED, "".join(parts))


async def _beside_a_pool(operation: str, files: Sequence[bytes], times: int, rounds: int) -> Line:
    return await operation_speed.measure("speed", operation, files, len(files) * times, rounds)


async def _cost(operation: str, files: Sequence[bytes]) -> Cost:
    with data_folder() as folder:
        async with serving(folder, workers=1, warm=operation) as ours:
            [child] = [
                one for one in psutil.Process(ours.process.process.pid).children() if one.cmdline()[-1] == "worker"
            ]
            keys = [(await ours.client.upload_image(data)).object_key for data in files]
            await _run_one(ours, operation, keys[0])
            cpu_ms = []
            for key in keys:
                begun_s = _cpu_s(child.pid)
                await _run_one(ours, operation, key)
                cpu_ms.append((_cpu_s(child.pid) - begun_s) * 1e3)
            memory = child.memory_full_info()
            return Cost(cpu_ms, memory.rss / 1e6, memory.uss / 1e6, peak_bytes(child.pid) / 1e6)


async def _run_one(ours: Ours, operation: str, key: str) -> None:
    batch = await ours.client.submit(operation, [BatchImageInput(object_key=key)])
    [result] = [result async for result in ours.client.watch(batch.batch_id)]
    if not result.output_data:
        raise RuntimeError(f"{operation} failed: {result.error_message}")


def _cpu_s(pid: int) -> float:
    """Processor time of all threads, finer than the hundredths of a second that processes are told."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def _row(operation: str, cost: Cost) -> str:
    cells = [
        operation,
        str(len(cost.cpu_ms)),
        f"{statistics.median(cost.cpu_ms):.0f} ms",
        f"{percentile(cost.cpu_ms, 0.9):.0f} ms",
        *(f"{it:.0f} MB" for it in (cost.resident_mb, cost.private_mb, cost.peak_mb)),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
