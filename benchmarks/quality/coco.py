"""The part of the COCO collection that nothing was fitted on, from a folder given by hand: no package carries it.

The folder has `images/val2017/*.jpg` and, beside, `object_detection/labels/val2017/*.txt` with a class number first on
each line (the public repository coco128_yolo of lightly-ai has them). Fitted on were its whole training part and the
first 64 of the validation part; the others are held out.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.quality.fetch import Photograph
from imagebatch_vision.describe.things import THINGS

FITTED = 64


def held_out(folder: Path) -> list[Photograph]:
    """List the photographs, and which of the eighty things are marked in them. Raises FileNotFoundError."""
    paths = _part(folder, "val2017")[FITTED:]
    if not paths:
        raise FileNotFoundError(f"{folder} has no images/val2017/*.jpg beyond the first {FITTED}")
    return [_photograph(folder, it) for it in paths]


def fitted(folder: Path) -> list[Photograph]:
    """Do the same of those that the curves in `calibration.py` were fitted on."""
    return [_photograph(folder, it) for it in [*_part(folder, "train2017"), *_part(folder, "val2017")[:FITTED]]]


def _part(folder: Path, name: str) -> list[Path]:
    return sorted((folder / "images" / name).glob("*.jpg"))


def _photograph(folder: Path, path: Path) -> Photograph:
    labels = folder / "object_detection" / "labels" / path.parent.name / f"{path.stem}.txt"
    return Photograph(path, _marked(labels), "coco")


def _marked(path: Path) -> frozenset[str]:
    lines = path.read_text().splitlines() if path.is_file() else []
    return frozenset(THINGS[int(line.split()[0])].name for line in lines)
