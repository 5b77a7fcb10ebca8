"""What it costs to be there: start-up, import time, idle memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
from tests.server import ServerProcess

from benchmarks import operations
from benchmarks.measure import Line, Report, Round, Scale, interleave
from benchmarks.ours import WORKERS
from benchmarks.rows.folders import data_folder
from imagebatch_client import BatchClient

ROW = "startup"
START, MAIN_MB, ALL_MB, IMPORT = "s", "MB of the server's process", "MB of all processes", "ms"
IDLE_S = 3.0


async def measure(scale: Scale, report: Report) -> None:
    found = await interleave(
        {"new": _start, "client": _import("imagebatch_client"), "grpc": _import("grpc")}, scale.rounds
    )
    figures = found["new"]
    report.add(Line(ROW, "start of an empty server to its first answer", "s", figures[START]))
    report.add(Line(ROW, f"idle memory (PSS), {WORKERS} workers: the server's process", "MB", figures[MAIN_MB]))
    report.add(Line(ROW, f"idle memory (PSS), {WORKERS} workers: all processes", "MB", figures[ALL_MB]))
    report.add(
        Line(ROW, "import imagebatch_client, a fresh interpreter", "ms", found["client"][IMPORT], "import grpc",
             found["grpc"][IMPORT])
    )  # fmt: skip


async def _start() -> Mapping[str, float]:
    with data_folder() as folder:
        server = ServerProcess(
            folder / "data", {"workers": str(WORKERS), "log_level": "warning"}, operations.REFERENCES
        )
        started_at = time.perf_counter()
        server.start()
        try:
            with BatchClient(server.address) as client:
                client.server_info()
            took_s = time.perf_counter() - started_at
            await asyncio.sleep(IDLE_S)
            process = psutil.Process(server.process.pid)
            main_mb = _pss_mb(process.pid)
            return {
                START: took_s,
                MAIN_MB: main_mb,
                ALL_MB: main_mb + sum(_pss_mb(child.pid) for child in process.children(recursive=True)),
            }
        finally:
            server.stop()


def _pss_mb(pid: int) -> float:
    """Memory of a process, what it shares divided among those that share it."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"/proc/{pid}/smaps_rollup says no Pss")


def _import(module: str) -> Round:
    program = f"import time; at = time.perf_counter(); import {module}; print(time.perf_counter() - at)"

    async def run() -> Mapping[str, float]:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return {IMPORT: float(done.stdout) * 1e3}

    return run
