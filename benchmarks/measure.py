"""Rounds, medians, and what a figure is held against."""

from __future__ import annotations

import gc
import statistics
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

Round = Callable[[], Awaitable[Mapping[str, float]]]
"""One round: figures by name. It checks its own results, and raises when one is missing."""


@dataclass(frozen=True)
class Scale:
    """How much is measured: `FULL` for the table, `QUICK` for a look within minutes."""

    rounds: int
    long_rounds: int
    """Of rounds that take tens of seconds."""
    batch_items: tuple[int, ...]
    peer_items: int
    """Most items of a peer's round: of a larger batch it runs so many, for it is the rate that is compared."""
    singles: int
    replay_items: int
    paced_items: int
    pages: int
    page_steps: int
    """Of each kind on the page in a browser, each round."""
    page_batch_items: int
    watchers: int
    watched_items: int
    stream_items: int
    pictures: int
    takeovers: int
    spread_items: int
    """Of each server's batch."""

    def rounds_of(self, items: int) -> int:
        """Of rounds of so many items."""
        return self.rounds if items <= 10_000 else self.long_rounds


FULL = Scale(
    rounds=5,
    long_rounds=3,
    batch_items=(10_000, 100_000),
    peer_items=100_000,
    singles=300,
    replay_items=100_000,
    paced_items=500,
    pages=50,
    page_steps=10,
    page_batch_items=1_000_000,
    watchers=200,
    watched_items=10_000,
    stream_items=1_000_000,
    pictures=200,
    takeovers=20,
    spread_items=33,
)
QUICK = Scale(
    rounds=2,
    long_rounds=2,
    batch_items=(1_000,),
    peer_items=300,
    singles=50,
    replay_items=5_000,
    paced_items=100,
    pages=10,
    page_steps=5,
    page_batch_items=20_000,
    watchers=50,
    watched_items=1_000,
    stream_items=50_000,
    pictures=22,
    takeovers=2,
    spread_items=11,
)


@dataclass(frozen=True)
class Series:
    """One figure over the rounds."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def most(self) -> float:
        return max(self.values)


@dataclass(frozen=True)
class Mark:
    """What the ratio of ours to the other's must reach: `at_least` where more is better, `at_most` where less is."""

    at_least: float | None = None
    at_most: float | None = None

    def reached_by(self, ratio: float) -> bool:
        if self.at_least is not None:
            return ratio >= self.at_least
        return self.at_most is not None and ratio <= self.at_most

    def __str__(self) -> str:
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"


@dataclass(frozen=True)
class Line:
    """A line of the table: our figure, beside a limit or a peer of the same run."""

    row: str
    figure: str
    unit: str
    ours: Series
    beside: str = ""
    """What it is held against, with its durability and its way of reading results."""
    other: Series | None = None
    mark: Mark | None = None

    @property
    def ratio(self) -> float | None:
        return None if self.other is None else self.ours.median / self.other.median


@dataclass(frozen=True)
class Skipped:
    """A line that could not be measured, and why."""

    row: str
    figure: str
    why: str


@dataclass
class Report:
    """What a row finds, in its order."""

    lines: list[Line] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    whole: bool = True
    """False once something failed that was there to be measured."""
    say: Callable[[str], None] = print

    def add(self, line: Line | Skipped) -> None:
        if isinstance(line, Skipped):
            self.skipped.append(line)
        else:
            self.lines.append(line)
        self.say(f"  {summary(line)}")

    def failed(self, row: str, figure: str, error: Exception) -> None:
        """Leave out what could not be measured because of an error, which is shown now."""
        traceback.print_exception(error)
        self.whole = False
        self.add(Skipped(row, figure, said(error)))


def said(error: Exception) -> str:
    """Put an error in one line."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


def summary(line: Line | Skipped) -> str:
    """Print a line for the terminal while the others are measured."""
    if isinstance(line, Skipped):
        return f"{line.figure}: skipped: {line.why}"
    text = f"{line.figure}: {line.ours.median:,.6g} {line.unit}"
    if line.other is not None and line.ratio is not None:
        text += f"; {line.beside}: {line.other.median:,.6g}; ratio {line.ratio:.3g}"
        if line.mark is not None:
            text += f" ({line.mark}: {'reached' if line.mark.reached_by(line.ratio) else 'missed'})"
    return text


async def interleave(contestants: Mapping[str, Round], rounds: int) -> dict[str, dict[str, Series]]:
    """Run all contestants round by round, the order turned each time, after a round each that warms them.

    Answers the figures by contestant and name.
    """
    names = list(contestants)
    for name in names:
        await contestants[name]()
    found: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            gc.collect()
            for figure, value in (await contestants[name]()).items():
                found[name].setdefault(figure, []).append(value)
    return {name: {figure: Series(values) for figure, values in figures.items()} for name, figures in found.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """Find the value that `share` of all are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
