"""The page: a table a row, when and on what it was measured, and what people wrote about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.kept import Measured
from benchmarks.machine import Machine
from benchmarks.measure import Line, Series

HEAD = """# Results

Written by `make bench`. Every figure stands beside its limit or its peer, measured in the same run: both warmed, then
run round by round in turn, the order changing. Each round checks that every index came back once with its own answer,
read back and decoded. Medians of the rounds, with the least and the most. Both sides are durable as stated: SQLite WAL
with synchronous=FULL, PostgreSQL with fsync and synchronous_commit on, Redis with an append-only file synced always
(before the answer) or everysec (once a second). All use two worker processes on one machine with their client.
`python -m benchmarks ROW` measures a row anew and leaves the others as they are.
"""


def page(measured: Mapping[str, Measured], notes: Mapping[str, str]) -> str:
    """All rows, in the order given."""
    machines = list(dict.fromkeys(row.machine for row in measured.values()))
    parts = [HEAD, *_machines(machines)]
    for name, row in measured.items():
        parts += ["", f"## {name}", "", f"{row.title} {_when(row, machines)}", "", *_body(row)]
        if name in notes:
            parts += ["", notes[name].strip()]
    return "\n".join([*parts, ""])


def _machines(machines: Sequence[Machine]) -> list[str]:
    lines = []
    for number, machine in enumerate(machines, 1):
        name = f"Machine {number}: " if len(machines) > 1 else ""
        lines.append(f"- {name}{machine.hardware}\n  - {machine.programs}\n  - {machine.packages}")
    return lines


def _when(row: Measured, machines: Sequence[Machine]) -> str:
    where = f" on machine {machines.index(row.machine) + 1}" if len(machines) > 1 else ""
    took = f"{row.took_s / 60:.0f} minutes" if row.took_s >= 120 else f"{row.took_s:.0f} s"
    return f"Measured {row.measured_at:%Y-%m-%d %H:%M} UTC{where}, in {took}; load {row.load:.1f} when it began."


def table(lines: Sequence[Line]) -> list[str]:
    """Lay out the lines below the names of their columns."""
    names = [
        "| figure | ours | beside | its figure | rounds | ratio | to reach | reached |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return [*names, *(_line(line) for line in lines)]


def _body(row: Measured) -> list[str]:
    parts = table(row.lines) if row.lines else []
    if row.skipped:
        parts += ["", "Not measured:", "", *(f"- {line.figure}: {line.why}" for line in row.skipped)]
    return parts


def _line(line: Line) -> str:
    ratio = line.ratio
    cells = [
        line.figure,
        f"{_series(line.ours)} {line.unit}",
        line.beside or "-",
        "-" if line.other is None else _series(line.other),
        str(len(line.ours.values)),
        "-" if ratio is None else f"{ratio:.3g}",
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
