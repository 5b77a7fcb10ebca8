"""Photographs of one thing each, which the classifier's thousand classes name, from a folder given by hand.

No package carries them, and their licences are unknown, so that they are not kept here. Either the folder has a
thousand files, one a class, whose names begin with the class's number in WordNet (`n01440764_tench.JPEG`: the public
repository imagenet-sample-images of EliSchwartz). The classifier was trained on them, so that it is surer of them than
of others. Or it has `dataset.txt` with lines of a file's name and its class's place
(`./data/ILSVRC2012_val_00000347.JPEG, 472`: the folder `ILSVRC2012_VAL_SET` of the public repository acuity-dataset of
VeriSilicon), 1,300 of the validation part, squeezed to 227 by 227 pixels.

One half, by the parity of a hash of the name, is for finding rules; the other is held out.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path

from benchmarks.quality.fetch import Photograph
from imagebatch_vision.describe.labels import load_vocabulary

MARKED = Path(__file__).with_name("classes.toml")
"""What else is there, and what is not, of the words that some version guessed: judged by eye."""


def photographs(folder: Path) -> list[Photograph]:
    """All of them, and what they show. Raises FileNotFoundError where there are none."""
    listed = folder / "dataset.txt"
    if listed.is_file():
        lines = (line.split(",") for line in listed.read_text().splitlines() if line.strip())
        places = {folder / name.strip(): int(place) for name, place in lines}
    else:
        places = {path: place for place, path in enumerate(sorted(folder.glob("n*.JPEG")))}
    if not places:
        raise FileNotFoundError(f"{folder} has neither dataset.txt nor n*.JPEG")
    vocabulary = load_vocabulary()
    narrowest_last = sorted(zip(vocabulary.terms, vocabulary.classes_of_term, strict=True), key=lambda it: it[0].depth)
    names = {place: term.name for term, covered in narrowest_last for place in covered}
    marked = tomllib.loads(MARKED.read_text(encoding="utf-8")) if MARKED.is_file() else {}
    return [_photograph(path, names[place], marked.get(path.stem, {})) for path, place in places.items()]


def _photograph(path: Path, name: str, marked: Mapping[str, bool]) -> Photograph:
    shown = {name, *(word for word, is_there in marked.items() if is_there)}
    return Photograph(path, frozenset(shown), "classes", frozenset(marked))


def kind(folder: Path) -> str:
    """Tell whether the classifier was trained on them."""
    return "validation part" if (folder / "dataset.txt").is_file() else "trained on"


def is_held_out(path: Path) -> bool:
    """Of a photograph, by its name."""
    return hashlib.sha256(path.name.encode()).digest()[0] % 2 == 1
