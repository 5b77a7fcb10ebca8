"""How often what `describe` recognises is there, and whether its confidences mean what they say."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.quality.fetch import Photograph
from benchmarks.quality.judging import Judge, Verdict
from imagebatch_server.images.decode import Image
from imagebatch_vision.describe.calibration import Suggestion
from imagebatch_vision.describe.cross_check import agrees
from imagebatch_vision.describe.medium import judge_medium
from imagebatch_vision.describe.reader import SCENE_PX
from imagebatch_vision.describe.recogniser import Recogniser
from imagebatch_vision.describe.statements import Statement, choose

LEAST_JUDGED = 0.05
BINS = (0.05, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass
class Tally:
    """What was counted on one set of photographs."""

    photographs: int = 0
    drawings: int = 0
    """Of them, taken for drawings, of which nothing is said."""
    named: int = 0
    """Of them, something was stated."""
    top1: int = 0
    top5: int = 0
    guessable: int = 0
    """Photographs that show something that the vocabulary has a word for."""
    statements: Counter[str] = field(default_factory=Counter)
    plain: Counter[str] = field(default_factory=Counter)
    """Of them, those without `what looks like`."""
    stated: list[tuple[float, bool]] = field(default_factory=list)
    suggested: list[tuple[float, bool]] = field(default_factory=list)
    checked: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    """Descriptions by (the second look agreed, every statement is right)."""


class Bench:
    """Look at photographs and judge what was recognised."""

    def __init__(self) -> None:
        self._recogniser = Recogniser()
        self._judge = Judge()

    def tally(self, photographs: Iterable[Photograph], known: Sequence[str] | None) -> Tally:
        """Count over photographs; `known` are all the words that the set's markings use, None where any was."""
        tally = Tally()
        for photograph in photographs:
            self._add(tally, photograph, known)
        return tally

    def _add(self, tally: Tally, photograph: Photograph, known: Sequence[str] | None) -> None:
        tally.photographs += 1
        scene = Image.open(photograph.path.read_bytes()).reduced(SCENE_PX, coarsely=True)
        if judge_medium(scene) == "graphic":
            tally.drawings += 1
            return
        recognition = self._recogniser.look(scene)
        statements = [it for it in choose(recognition, self._recogniser.vocabulary) if self._decided(it.name, known)]
        tally.named += bool(statements)
        for statement in statements:
            self._count(tally, statement, photograph)
        if statements:
            every = all(self._verdict(it.name, photograph) == "right" for it in statements)
            tally.checked[agrees(statements, self._recogniser.look_from_other_views(scene)), every] += 1
        guesses = [it for it in recognition.suggestions if self._decided(it.term.name, known)]
        if photograph.shows:
            self._rank(tally, guesses, photograph)
        tally.suggested += [
            (it.confidence, self._verdict(it.term.name, photograph) == "right")
            for it in guesses
            if it.confidence >= LEAST_JUDGED
        ]

    def _count(self, tally: Tally, statement: Statement, photograph: Photograph) -> None:
        verdict = self._verdict(statement.name, photograph)
        tally.statements[verdict] += 1
        if statement.hedged == statement.words:
            tally.plain[verdict] += 1
        tally.stated.append((statement.confidence, verdict == "right"))

    def _rank(self, tally: Tally, guesses: Sequence[Suggestion], photograph: Photograph) -> None:
        telling = [it.term.name for it in guesses if self._judge.says_something(it.term.name)][:5]
        right = [self._verdict(name, photograph) == "right" for name in telling]
        tally.guessable += 1
        tally.top1 += any(right[:1])
        tally.top5 += any(right)

    def _verdict(self, name: str, photograph: Photograph) -> Verdict:
        return self._judge.verdict(name, photograph.shows, knows_breeds=photograph.package != "coco")

    def _decided(self, name: str, known: Sequence[str] | None) -> bool:
        return known is None or self._judge.is_decided_by(name, known)


@dataclass(frozen=True)
class Reliability:
    """What was said beside what was right, between two confidences."""

    low: float
    high: float
    count: int
    said: float
    right: float


def reliability(answers: Sequence[tuple[float, bool]]) -> tuple[list[Reliability], float]:
    """By bins of confidence, and the expected calibration error: the mean gap, weighted by the bins' counts."""
    said, right = np.array([it[0] for it in answers]), np.array([it[1] for it in answers], dtype=np.float64)
    rows = []
    for low, high in itertools.pairwise(BINS):
        inside = (said >= low) & (said < high)
        if inside.any():
            rows.append(Reliability(low, high, int(inside.sum()), said[inside].mean(), right[inside].mean()))
    total = sum(row.count for row in rows)
    return rows, sum(row.count * abs(row.said - row.right) for row in rows) / max(total, 1)
