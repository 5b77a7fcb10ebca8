"""What was measured, row by row, kept beside the page that is made of it: a row measured anew replaces its own only."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec

from benchmarks.machine import Machine
from benchmarks.measure import Line, Skipped

FOLDER = Path(__file__).parent
KEPT = FOLDER / "results.json"
NOTES = FOLDER / "notes.toml"


@dataclass(frozen=True)
class Measured:
    """A row as it was measured; both sides of each line in this one run."""

    title: str
    measured_at: datetime
    took_s: float
    load: float
    """Of the machine when it began, by what else ran."""
    machine: Machine
    whole: bool
    """False where it ended early."""
    lines: list[Line] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def load(path: Path = KEPT) -> dict[str, Measured]:
    """Read what was kept, by row."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Measured]) if path.exists() else {}


def keep(row: str, measured: Measured, path: Path = KEPT) -> None:
    """Put a row's new lines in the place of its old ones."""
    rows = load(path) | {row: measured}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")


def notes(path: Path = NOTES) -> Mapping[str, str]:
    """Read what people wrote about rows, by row."""
    found: dict[str, str] = tomllib.loads(path.read_text())
    return found
