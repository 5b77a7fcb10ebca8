"""RESULTS.md, from what was measured."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Any

from benchmarks.machine import processor
from benchmarks.quality.cost import Cost
from benchmarks.quality.reading import Gate, Reading
from benchmarks.quality.recognition import Tally, reliability
from imagebatch_server.operations.base import BaseOperation
from imagebatch_vision.describe import Describe

PACKAGES = ("onnxruntime", "rapidocr", "opencv-python-headless", "pillow", "numpy")


def made_by(command: str, *operations: type[BaseOperation[Any]]) -> str:
    """Date, machine and versions."""
    versions = [f"{it.name} {it.version}" for it in operations]
    versions += [f"Python {platform.python_version()}", *(f"{name} {metadata.version(name)}" for name in PACKAGES)]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return (
        f"Made by `{command}` on {today}: {', '.join(versions)}; {processor()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f} at the end.\n"
    )


def head(command: str) -> str:
    """Say what was measured, and how."""
    return f"""{made_by(command, Describe)}
Backend `local`, one thread for everything.

Nothing was fitted on these photographs. Those that packages carry (`photographs.toml`) were judged by eye; what was
said of them was read once before the weight of a conflict between the models was changed, and three shoes among them,
taken for people, were the occasion of 2.0.1: what it gains on those three was not held out. Of COCO's photographs
the first 128 of the training and the first 64 of the validation part were fitted on; the next 64 are used here, judged
by the collection's own markings, so that words for which it has none are left out.

A statement is one thing named in a description. Right: the photograph shows it. Near: it shows another thing of the
same kind (a cat for a cheetah). Wrong: neither.
"""


_DRAWN = """
Two words drawn into some of the packages' photographs, white with a dark rim: how often `read_text` `auto` reads them.
"""


def recognition(tallies: dict[str, Tally]) -> str:
    """Report what is recognised, set by set."""
    rows = [
        "| photographs | count | named | statements | right | near | wrong | those named outright | top-1 | top-5 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, it in tallies.items():
        said, plain, total = it.statements, it.plain, sum(it.statements.values())
        shares = " | ".join(
            f"{said[verdict]} ({share(said[verdict], total)})" for verdict in ("right", "near", "wrong")
        )
        bare = " / ".join(str(plain[verdict]) for verdict in ("right", "near", "wrong"))
        top = f"{share(it.top1, it.guessable)} | {share(it.top5, it.guessable)}"
        rows.append(f"| {name} | {it.photographs} | {it.named} | {total} | {shares} | {bare} | {top} |")
    drawings = ", ".join(f"{it.drawings} {name}" for name, it in tallies.items())
    note = (
        "Named: photographs of which something is stated. Those named outright: without `what looks like`, right / "
        "near / wrong. Top-1, top-5: of the photographs that show something that the vocabulary has a word for, those "
        "where the most confident guess, or one of the five most confident, is right, said or not; the widest words "
        f"(animal, vehicle, food) left out. Taken for drawings, of which nothing is said: {drawings}."
    )
    return "## Recognition\n\n" + "\n".join(rows) + f"\n\n{note}\n"


def calibration(tallies: dict[str, Tally]) -> str:
    """Whether confidences mean what they say."""
    parts = ["## Calibration\n"]
    for name, it in tallies.items():
        kinds = [("statements", it.stated)]
        if name.startswith("COCO"):
            kinds.append(("all guesses from 0.05 on", it.suggested))
        for kind, answers in kinds:
            rows, error = reliability(answers)
            parts.append(f"{name}, {kind}: expected calibration error {error:.3f} over {len(answers)}.\n")
            parts.append("| confidence | count | said | right |\n|---|---|---|---|")
            parts += [f"| {r.low:.2f} to {r.high:.2f} | {r.count} | {r.said:.2f} | {r.right:.2f} |" for r in rows]
            parts.append("")
    return "\n".join(parts)


def second_looks(tallies: dict[str, Tally]) -> str:
    """Report what `cross_check` is worth."""
    rows = [
        "| photographs | verified | of them every statement right | not verified | of them every statement right |",
        "|---|---|---|---|---|",
    ]
    for name, it in tallies.items():
        cells = []
        for agreed in (True, False):
            right, total = it.checked[agreed, True], it.checked[agreed, True] + it.checked[agreed, False]
            cells.append(f"{total} | {share(right, total)}")
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "## The second look (`cross_check`)\n\n" + "\n".join(rows) + "\n"


def reading(pages: Iterable[Reading], gates: Sequence[Gate]) -> str:
    """How text is read and when it is looked for."""
    rows = ["| text | letters | characters | character error rate | seconds a page |", "|---|---|---|---|---|"]
    rows += [
        f"| {it.condition} | {it.height_px} px | {it.characters} | {it.error_rate:.2%} | {it.seconds:.1f} |"
        for it in pages
    ]
    found = ["| height of the letters | photographs | words read |", "|---|---|---|"]
    found += [
        f"| 1/{1 / it.height_share:.0f} of the picture | {len(it.read)} | {share(sum(it.read), len(it.read))} |"
        for it in gates
    ]
    return "\n".join([
        "## Text\n",
        "Pages of 14 lines in four typefaces, `max_text_lines` 100; errors in order count as errors.\n",
        *rows,
        _DRAWN,
        *found,
        "",
        "",
    ])  # fmt: skip


def costs(measured: dict[str, Cost]) -> str:
    """Time and memory."""
    rows = [
        "| what | images | median | nine of ten within | processor time, mean | loading | memory loaded | at most |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {name} | {it.images} | {it.median_ms:.0f} ms | {it.p90_ms:.0f} ms | {it.cpu_ms:.0f} ms | {it.load_s:.1f} s "
        f"| {it.loaded_mb:.0f} MB | {it.peak_mb:.0f} MB |"
        for name, it in measured.items()
    ]
    return "## Cost\n\n" + "\n".join(rows) + "\n"


def share(part: int, whole: int) -> str:
    """Write a part of a whole in percent."""
    return f"{part / whole:.0%}" if whole else "none"
