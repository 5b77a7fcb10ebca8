"""The words that the classifier's thousand classes stand for, and the wider words above them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imagebatch_vision import models

LABELS_PATH = models.FOLDER / "labels.json"


@dataclass(frozen=True)
class Term:
    """One word that may be said of a picture: a class (`tabby cat`) or a kind of thing (`cat`, `animal`)."""

    name: str
    phrase: str
    """With its article, ready for a sentence: `a tabby cat`, `food`."""
    depth: int
    """Number of wider terms above it; the deeper, the more it says."""
    is_class: bool
    is_stated: bool
    """False for kinds that make no subject of a sentence (clothing, kitchenware); they still serve as tags."""


@dataclass(frozen=True)
class Vocabulary:
    """All terms, and which of the classifier's classes each covers."""

    terms: tuple[Term, ...]
    classes_of_term: tuple[tuple[int, ...], ...]
    class_count: int

    @cached_property
    def classes_by_name(self) -> dict[str, frozenset[int]]:
        """Which classes each term covers, by its name."""
        names = (term.name for term in self.terms)
        return dict(zip(names, map(frozenset, self.classes_of_term), strict=True))

    @cached_property
    def membership(self) -> npt.NDArray[np.float32]:
        """1 where a class (row) is covered by a term (column): probabilities times this are the terms' sums."""
        matrix = np.zeros((self.class_count, len(self.terms)), dtype=np.float32)
        for column, classes in enumerate(self.classes_of_term):
            matrix[list(classes), column] = 1.0
        return matrix


@cache
def load_vocabulary(path: Path = LABELS_PATH) -> Vocabulary:
    """Read `labels.json`, once; classes that share a name are one term."""
    content = json.loads(path.read_text(encoding="utf-8"))
    phrases: dict[str, str] = {kind["name"]: kind["phrase"] for kind in content["kinds"]}
    stated: dict[str, bool] = {kind["name"]: kind["stated"] for kind in content["kinds"]}
    classes: dict[str, list[int]] = {}
    depths: dict[str, int] = {}
    for label in content["labels"]:
        phrases.setdefault(label["name"], label["phrase"])
        chain: list[str] = [label["name"], *label["is_a"]]
        for place, name in enumerate(chain):
            classes.setdefault(name, []).append(label["index"])
            depths[name] = len(chain) - 1 - place
    terms = tuple(
        Term(name, phrases[name], depths[name], is_class=name not in stated, is_stated=stated.get(name, True))
        for name in classes
    )
    return Vocabulary(terms, tuple(tuple(indexes) for indexes in classes.values()), len(content["labels"]))
