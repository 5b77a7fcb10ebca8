"""The table of the benchmarks: a row measured anew takes the place of its own lines only."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from benchmarks import kept
from benchmarks.kept import Measured
from benchmarks.machine import Machine
from benchmarks.measure import Line, Mark, Series, Skipped, interleave
from benchmarks.report import page

OLD, NEW = Machine("one core", "Python 3.11", "grpcio 1"), Machine("two cores", "Python 3.12", "grpcio 2")
STREAM = Line(
    "stream", "a stream", "items/s", Series([30.0, 40.0, 20.0]), "bare", Series([50.0, 90.0, 100.0]), Mark(0.5)
)
RAY = Skipped("peers", "beside Ray", "ray is not installed here")


def measured(machine: Machine, *, day: int, line: Line = STREAM, skipped: Skipped | None = None) -> Measured:
    at = datetime(2026, 1, day, tzinfo=UTC)
    return Measured("Streams.", at, 61.4, 0.5, machine, whole=True, lines=[line], skipped=[skipped] if skipped else [])


def test_a_row_measured_anew_replaces_only_its_own(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    first, peers, again = measured(OLD, day=1), measured(OLD, day=2, skipped=RAY), measured(NEW, day=3)
    kept.keep("stream", first, path)
    kept.keep("peers", peers, path)
    assert kept.load(path) == {"stream": first, "peers": peers}
    kept.keep("stream", again, path)
    assert kept.load(path) == {"stream": again, "peers": peers}


def test_nothing_is_kept_before_the_first_run(tmp_path: Path) -> None:
    assert kept.load(tmp_path / "results.json") == {}


def test_the_page_says_of_each_row_when_and_on_what_it_was_measured() -> None:
    text = page({"stream": measured(NEW, day=3), "peers": measured(OLD, day=2, skipped=RAY)}, {"stream": "*Why.*\n"})
    stream, peers = text.split("\n## ")[1:]
    assert "Measured 2026-01-03 00:00 UTC on machine 1, in 61 s" in stream
    assert "| **30** (20 - 40) items/s | bare | **90** (50 - 100) | 3 | 0.333 | >= 0.5 | **no** |\n\n*Why.*" in stream
    assert "Measured 2026-01-02 00:00 UTC on machine 2" in peers
    assert "Not measured:\n\n- beside Ray: ray is not installed here" in peers


def test_the_notes_that_are_checked_in_can_be_read() -> None:
    assert all(isinstance(note, str) for note in kept.notes().values())


async def test_contestants_take_turns_after_a_round_that_does_not_count() -> None:
    order: list[str] = []

    async def ours() -> dict[str, float]:
        order.append("ours")
        return {"rate": float(len(order))}

    async def theirs() -> dict[str, float]:
        order.append("theirs")
        return {"rate": float(len(order))}

    found = await interleave({"ours": ours, "theirs": theirs}, 2)
    assert order == ["ours", "theirs", "ours", "theirs", "theirs", "ours"]
    assert found == {"ours": {"rate": Series([3.0, 6.0])}, "theirs": {"rate": Series([4.0, 5.0])}}


@pytest.mark.parametrize(
    ("mark", "ratio", "reached"),
    [(Mark(at_least=0.4), 0.4, True), (Mark(at_least=0.4), 0.39, False), (Mark(at_most=2.0), 2.1, False)],
)
def test_a_mark_is_reached_or_not(mark: Mark, ratio: float, reached: bool) -> None:
    assert mark.reached_by(ratio) is reached
