"""`python -m benchmarks.quality [--coco FOLDER]`: measure what `describe` says, and put it into RESULTS.md.

The packages' photographs have to be there (`python -m benchmarks.quality.fetch`); of `--coco` see `coco.py`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.quality import chapters, coco, cost, reading, recognition, report
from benchmarks.quality.fetch import photographs
from imagebatch_vision.describe.things import THINGS

SAMPLE = 3
"""Every third photograph shows what it costs and whether text is found."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description="Measure what describe says.")
    parser.add_argument("--coco", type=Path, help="a folder with COCO's photographs and markings, see coco.py")
    arguments = parser.parse_args()
    ours = photographs()
    some = ours[::SAMPLE]
    paths = [it.path for it in some]
    costs = {  # first, because a process is born with the peak of the one that starts it
        "photographs of packages": cost.measure(paths, {}),
        "the same without text": cost.measure(paths, {"read_text": "never"}),
        "the same with `cross_check`": cost.measure(paths, {"cross_check": True}),
    }
    bench = recognition.Bench()
    tallies = {"of packages": bench.tally(ours, None)}
    if arguments.coco is not None:
        theirs = coco.held_out(arguments.coco)
        tallies["COCO, held out"] = bench.tally(theirs, [thing.name for thing in THINGS])
    reader = reading.Bench()
    parts = [
        report.head(" ".join(["python -m benchmarks.quality", *(["--coco FOLDER"] if arguments.coco else [])])),
        report.recognition(tallies),
        report.calibration(tallies),
        report.second_looks(tallies),
        report.reading(reader.pages(), list(reader.gate(some))),
        report.costs(costs),
    ]
    chapters.write(chapters.DESCRIBE, "\n".join(parts))
    sys.stdout.write(f"written to {chapters.RESULTS}\n")


if __name__ == "__main__":
    main()
