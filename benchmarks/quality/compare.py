"""Two versions of `describe` and `verify` beside each other, on the same images, with McNemar's test.

    python -m benchmarks.quality.compare [--old COMMIT] [--coco FOLDER] [--classes FOLDER ...]

The old one is taken out of the repository, the new one is the tree as it is; both use the libraries that are installed.
The packages' photographs have to be there (`python -m benchmarks.quality.fetch`); of the others see `coco.py` and
`classes.py`. Statements have a chapter of their own in RESULTS.md; `--only describe` leaves out text and `verify`.
`--half fitted` takes the photographs for finding rules, and `--rules` asks no model of the new version: its rules weigh
what the old one's models said, in seconds. Both leave RESULTS.md as it is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import kept
from benchmarks.quality import beside, chapters, classes, coco, sights
from benchmarks.quality.fetch import Photograph, photographs
from benchmarks.quality.versions import Version
from imagebatch_vision.describe.things import THINGS

OLD = "751df0b"


@dataclass(frozen=True)
class Set:
    """Photographs, and all the words that the set's markings use: None where any was."""

    name: str
    photographs: Sequence[Photograph]
    known: Sequence[str] | None


def sets(coco_folder: Path | None, folders: Sequence[Path], half: str, most: int | None) -> list[Set]:
    """List what is there, the held-out half of it or the fitted one. Raises FileNotFoundError."""
    held_out = half == "held-out"
    listed = [Set("of packages", photographs(), None)] if held_out else []
    words = [thing.name for thing in THINGS]
    if coco_folder is not None:
        some = coco.held_out(coco_folder) if held_out else coco.fitted(coco_folder)
        listed.append(Set(f"COCO, {half}", some, words))
    for folder in folders:
        some = [it for it in classes.photographs(folder) if classes.is_held_out(it.path) == held_out]
        listed.append(Set(f"classes, {classes.kind(folder)}, {half}", some[:most], ()))
    return listed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.compare", description="Compare two versions.")
    parser.add_argument("--old", default=OLD, metavar="COMMIT", help="the version to compare with (%(default)s)")
    parser.add_argument("--coco", type=Path, metavar="FOLDER", help="COCO's photographs and markings, see coco.py")
    parser.add_argument("--classes", type=Path, action="append", default=[], metavar="FOLDER", help="see classes.py")
    parser.add_argument("--most", type=int, metavar="N", help="take no more photographs of a folder of classes")
    parser.add_argument("--half", choices=("held-out", "fitted"), default="held-out")
    parser.add_argument("--only", choices=("describe",), help="leave out text and verify")
    parser.add_argument("--rules", action="store_true", help="try the rules on the old version's models' answers")
    arguments = parser.parse_args()
    old, new = Version.of_commit(arguments.old), Version.of_tree()
    chosen = sets(arguments.coco, arguments.classes, arguments.half, arguments.most)
    paths = [it.path for one in chosen for it in one.photographs]
    before = old.described(paths)
    answers = before, sights.weighed_anew(before) if arguments.rules else new.described(paths)
    statements = beside.described([beside.Compared.of(it.name, it.photographs, it.known, *answers) for it in chosen])
    sys.stdout.write(statements)
    if arguments.rules or arguments.half == "fitted":
        return
    command = f"python -m benchmarks.quality.compare --old {arguments.old}"
    options = " --coco FOLDER" * bool(arguments.coco) + " --classes FOLDER" * len(arguments.classes)
    options += f" --most {arguments.most}" if arguments.most else ""
    noted = kept.notes()["statements"].strip()
    _write(chapters.STATEMENTS, command + options, arguments.old, f"{statements.rstrip()}\n\n{noted}")
    if arguments.only is None:
        parts = [
            beside.read(old.answers("read"), new.answers("read")),
            beside.found(old.answers("find"), new.answers("find")),
            beside.verified(old.answers("verify"), new.answers("verify")),
        ]
        sys.stdout.write("\n".join(parts))
        _write(chapters.BESIDE, command, arguments.old, *parts)


def _write(title: str, command: str, old: str, *parts: str) -> None:
    chapters.write(title, "\n".join([beside.head(command, old), *parts]))


if __name__ == "__main__":
    main()
