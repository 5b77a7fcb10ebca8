"""Which of the things that were recognised a description names, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagebatch_vision.describe.calibration import PLAIN_FROM, STATED_FROM, SURE_FROM, Suggestion, most_telling
from imagebatch_vision.describe.labels import Vocabulary
from imagebatch_vision.describe.weighing import RecognisedThing, Recognition

_MOST_EXTRAS = 3
_LEAST_AREA = 0.004
"""Something that covers less is not worth a word beside something larger."""
_MAIN_AREA = 0.15
"""What has no box counts as of this size: the classifier names it by the middle of the picture."""
_NUMBERS = {2: "two", 3: "three"}


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
    kind: str | None = None
    """A wider word, with its article, that is sure where this one is not: `a dog` of what looks like a keeshond."""

    @property
    def hedged(self) -> str:
        """The words, saying where it only looks like it."""
        if self.confidence >= PLAIN_FROM:
            return self.words
        return f"{self.kind} that looks like {self.words}" if self.kind else f"what looks like {self.words}"


def choose(recognition: Recognition, vocabulary: Vocabulary) -> list[Statement]:
    """Choose what to say, the main thing first; empty where nothing is known well enough."""
    covers = vocabulary.classes_by_name
    seen = [it for it in recognition.seen if not _gives_way(it, recognition, covers)]
    spoken_for = [it.kind for it in seen if it.kind] + [wider for it in seen for wider in it.thing.wider]
    spoken = frozenset().union(*(covers[it] for it in spoken_for))
    free = [
        it
        for it in recognition.suggestions
        if it.term.name in covers and not covers[it.term.name] & spoken and it.term.name not in spoken_for
    ]
    subject = most_telling(free)
    statements = [_named(it, recognition.suggestions, covers) for it in seen]
    if subject is not None and (not statements or _says_more_than_its_kind(subject)):
        kind = most_telling(it for it in free if it.confidence >= PLAIN_FROM and _covers(it, subject, covers))
        words, phrase = subject.term, kind.term.phrase if kind else None
        statements.append(Statement(words.name, words.phrase, subject.confidence, 0.0, kind=phrase))
    if not statements:
        return []
    main, *others = sorted(statements, key=lambda it: -it.confidence * (it.area or _MAIN_AREA))
    worthy = [it for it in others if _is_worthy(it)]
    return [main, *worthy[:_MOST_EXTRAS]]


def _is_worthy(statement: Statement) -> bool:
    """Whether it is said beside the main thing; one that the detector found has rivals of its own kind there."""
    if statement.area == 0.0:
        return statement.confidence >= SURE_FROM
    return statement.area >= _LEAST_AREA and (statement.confidence >= PLAIN_FROM or statement.kind is not None)


def _says_more_than_its_kind(suggestion: Suggestion) -> bool:
    """Not only `an animal`, which beside something else says little and is often taken for it."""
    return suggestion.term.is_class or suggestion.term.depth > 0


def _covers(wider: Suggestion, narrower: Suggestion, covers: dict[str, frozenset[int]]) -> bool:
    return covers[wider.term.name] > covers[narrower.term.name]


def _gives_way(unsure: RecognisedThing, recognition: Recognition, covers: dict[str, frozenset[int]]) -> bool:
    """Whether it is not sure and another animal, vehicle, fruit is surer: one is easily taken for several."""
    if unsure.confidence >= PLAIN_FROM:
        return False
    wider = set(unsure.thing.wider)
    own = covers.get(unsure.kind or "", frozenset())
    things = [it.confidence for it in recognition.seen if wider & set(it.thing.wider)]
    classes = [
        it.confidence
        for it in recognition.suggestions
        if it.confidence >= STATED_FROM
        and it.term.is_class
        and any(covers[it.term.name] < covers[word] for word in wider)
        and not covers[it.term.name] & own
    ]
    return max([*things, *classes], default=0.0) > unsure.confidence


def _named(seen: RecognisedThing, suggestions: Sequence[Suggestion], covers: dict[str, frozenset[int]]) -> Statement:
    """By the narrowest name that is sure: the breed rather than the dog, if there is only one."""
    thing, confidence = seen.thing, seen.confidence
    if seen.several or seen.count > 1:
        number = _NUMBERS.get(seen.count)
        words = f"{number} {thing.plural}" if number else f"several {thing.plural}" if seen.many else thing.plural
        return Statement(thing.name, words, confidence, seen.area, seen.count if number else None)
    if seen.kind is not None:
        within = covers[seen.kind]
        narrower = [it for it in suggestions if it.term.is_class and covers.get(it.term.name, within) < within]
        best = most_telling(narrower)
        if best is not None:
            kind = thing.phrase if confidence >= PLAIN_FROM else None
            return Statement(best.term.name, best.term.phrase, min(confidence, best.confidence), seen.area, kind=kind)
    return Statement(thing.name, thing.phrase, confidence, seen.area)
