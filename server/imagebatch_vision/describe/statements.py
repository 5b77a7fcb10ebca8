"""Which of the things that were recognised a description names, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagebatch_vision.describe.calibration import PLAIN_FROM, SURE_FROM, Suggestion, most_telling
from imagebatch_vision.describe.labels import Vocabulary
from imagebatch_vision.describe.weighing import RecognisedThing, Recognition

_MOST_EXTRAS = 3
_LEAST_AREA = 0.004
"""Something that covers less is not worth a word beside something larger."""
_MAIN_AREA = 0.15
_NUMBERS = {2: "two", 3: "three"}
_MOST_ANIMALS = 1


@dataclass(frozen=True)
class Statement:
    """One thing that the description says the picture shows."""

    name: str
    """The tag's word for it."""
    words: str
    """With article or number, as in a sentence."""
    confidence: float
    area: float
    """The share of the picture that it covers, 0 where its place is not known."""
    count: int | None = None
    """The number that the words give; None where they give none."""

    @property
    def hedged(self) -> str:
        """The words, saying where it only looks like it."""
        return self.words if self.confidence >= PLAIN_FROM else f"what looks like {self.words}"


def choose(recognition: Recognition, vocabulary: Vocabulary) -> list[Statement]:
    """Choose what to say, the main thing first; empty where nothing is known well enough."""
    covers = vocabulary.classes_by_name
    seen = _plausible(recognition)
    placed = [(it, _named(it, recognition.suggestions, covers)) for it in seen]
    spoken_for = [it.kind for it in seen if it.kind] + [wider for it in seen for wider in it.thing.wider]
    spoken = frozenset().union(*(covers[it] for it in spoken_for))
    free = [
        it
        for it in recognition.suggestions
        if it.term.name in covers and not covers[it.term.name] & spoken and it.term.name not in spoken_for
    ]
    subject = most_telling(free)
    statements = sorted((statement for _, statement in placed), key=lambda it: -it.confidence * it.area)
    if subject is not None:
        statement = Statement(subject.term.name, subject.term.phrase, subject.confidence, 0.0)
        is_main = not statements or statements[0].area < _MAIN_AREA
        if is_main or statement.confidence >= PLAIN_FROM:
            statements.insert(0 if is_main else 1, statement)
    if not statements:
        return []
    main, *others = statements
    worthy = [it for it in others if it.confidence >= PLAIN_FROM and (it.area >= _LEAST_AREA or it.area == 0.0)]
    return [main, *worthy[:_MOST_EXTRAS]]


def _plausible(recognition: Recognition) -> list[RecognisedThing]:
    """Without the less sure of two kinds of animal: one animal is easily taken for several."""
    animals = [it for it in recognition.seen if "animal" in it.thing.wider]
    sure = [it for it in animals if it.confidence >= PLAIN_FROM]
    kept = sure if len(sure) > _MOST_ANIMALS else animals[:_MOST_ANIMALS]
    return [it for it in recognition.seen if it not in animals or it in kept]


def _named(seen: RecognisedThing, suggestions: Sequence[Suggestion], covers: dict[str, frozenset[int]]) -> Statement:
    """By the narrowest name that is sure: the breed rather than the dog, if there is only one."""
    thing, confidence = seen.thing, seen.confidence
    if seen.several or seen.count > 1:
        number = _NUMBERS.get(seen.count)
        words = f"{number} {thing.plural}" if number else f"several {thing.plural}" if seen.many else thing.plural
        return Statement(thing.name, words, confidence, seen.area, seen.count if number else None)
    if seen.kind is not None:
        within = covers[seen.kind]
        narrower = [
            it
            for it in suggestions
            if it.term.is_class and it.confidence >= SURE_FROM and covers.get(it.term.name, within) < within
        ]
        best = most_telling(narrower)
        if best is not None:
            return Statement(best.term.name, best.term.phrase, min(confidence, best.confidence), seen.area)
    return Statement(thing.name, thing.phrase, confidence, seen.area)
