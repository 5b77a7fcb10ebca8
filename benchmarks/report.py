"""The table, with what it was measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.conftest import postgres_programs

from benchmarks.measure import Line, Scale, Series, Skipped

PACKAGES = (
    "imagebatch", "grpcio", "protobuf", "sqlalchemy", "psycopg", "onnxruntime", "celery", "dramatiq", "taskiq",
    "taskiq-redis", "procrastinate", "redis", "hiredis", "ray",
)  # fmt: skip

HEAD = """# Results

Written by `{command}`. Every figure stands beside its limit or its peer, measured in the same run: both warmed, then
run round by round in turn, the order changing. Each round checks that every index came back once with its own answer,
read back and decoded. Medians of {rounds} rounds, with the least and the most. Both sides are durable as stated: SQLite
WAL with synchronous=FULL, PostgreSQL with fsync and synchronous_commit on, Redis with an append-only file synced
always (before the answer) or everysec (once a second). All use two worker processes on one machine with their client.
"""


def markdown(lines: Sequence[Line | Skipped], scale: Scale, command: str) -> str:
    """The whole page."""
    measured = [line for line in lines if isinstance(line, Line)]
    skipped = [line for line in lines if isinstance(line, Skipped)]
    parts = [HEAD.format(command=command, rounds=scale.rounds), _machine(), ""]
    parts += ["| figure | ours | beside | its figure | ratio | to reach | reached |", "|---|---|---|---|---|---|---|"]
    parts += [_row(line) for line in measured]
    if skipped:
        parts += ["", "Not measured:", ""]
        parts += [f"- {line.figure}: {line.why}." for line in skipped]
    return "\n".join([*parts, ""])


def _row(line: Line) -> str:
    ratio = line.ratio
    cells = [
        line.figure,
        f"{_series(line.ours)} {line.unit}",
        line.beside or "-",
        "-" if line.other is None else _series(line.other),
        "-" if ratio is None else f"{ratio:.2f}",
        "-" if line.mark is None else str(line.mark),
        "-" if line.mark is None or ratio is None else ("yes" if line.mark.reached_by(ratio) else "**no**"),
    ]
    return f"| {' | '.join(cells)} |"


def _series(series: Series) -> str:
    if len(series.values) == 1:
        return _number(series.median)
    return f"**{_number(series.median)}** ({_number(series.least)} - {_number(series.most)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _machine() -> str:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    now, cores = datetime.now(UTC), os.cpu_count()
    system = f"{platform.system()} {platform.release()}"
    lines = [
        f"- {now:%Y-%m-%d %H:%M} UTC; {_processor()}, {cores} cores, {memory_gb:.0f} GB; {system}; load {load}",
        f"- Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {_programs()}",
        f"- {', '.join(f'{name} {found}' for name in PACKAGES if (found := _version(name)))}",
    ]
    return "\n".join(lines)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _programs() -> str:
    postgres = postgres_programs()
    commands = [["redis-server", "--version"]]
    if postgres is not None:
        commands.append([str(postgres / "postgres"), "--version"])
    found = []
    for command in commands:
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            continue
        found.append(said.split(" sha=")[0].replace(" server v=", " ").replace("postgres (PostgreSQL)", "PostgreSQL"))
    return ", ".join(found)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
