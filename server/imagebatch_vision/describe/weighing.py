"""The answers of classifier, detector and face finder, weighed against each other: what a photograph shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imagebatch_vision.describe import calibration
from imagebatch_vision.describe.calibration import Confidences, Suggestion
from imagebatch_vision.describe.detector import Found
from imagebatch_vision.describe.faces import Face
from imagebatch_vision.describe.labels import Vocabulary
from imagebatch_vision.describe.places import Box
from imagebatch_vision.describe.things import PERSON, THINGS, Thing

_LEAST_SUGGESTED = 0.01
_MANY_FROM = 4
_PLACES = ("building", "landscape")
"""Kinds that people are in; they are not taken for people."""


@dataclass(frozen=True)
class Sight:
    """What the models said of one photograph, nothing weighed yet."""

    shares: npt.NDArray[np.float32]
    """For each term of the vocabulary the classifier's, 0 to 1."""
    scores: npt.NDArray[np.float32]
    """For each of THINGS the detector's best, 0 to 1."""
    found: Sequence[Found]
    """The detector's boxes, best first."""
    faces: Sequence[Face]
    """Best first; none are looked for where nothing looks like a person."""


@dataclass(frozen=True)
class RecognisedThing:
    """One kind of thing in the picture."""

    thing: Thing
    confidence: float
    count: int
    """How many: 1 for one or more, 2 and 3 where so many were counted, `several` says the rest."""
    several: bool
    """There are two or more, uncounted."""
    many: bool
    """As `several`, four or more of them found."""
    area: float
    """The share of the picture that the largest of them covers."""
    kind: str | None
    """The classifier's term that covers it and narrower ones, such as `dog` for breeds."""


@dataclass(frozen=True)
class Located:
    """One thing in one place."""

    thing: Thing
    confidence: float
    """Of there being such a thing in the picture."""
    box: Box


@dataclass(frozen=True)
class Recognition:
    """What one look at a photograph gave."""

    suggestions: Sequence[Suggestion]
    """Every term with a probability to speak of, most confident first."""
    seen: Sequence[RecognisedThing]
    """Things in their places, most confident first."""
    faces: Sequence[Face] = ()
    """Those that were found where there are people, best first."""
    objects: Sequence[Located] = ()
    """Each thing in its place, of the kinds that are more likely there than not."""


class Weighing:
    """How much the models' answers are worth, for one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._terms = vocabulary.terms
        self._links = Links(vocabulary)
        named = {term.name for term in vocabulary.terms}
        self._only_things = [
            index for index, thing in enumerate(THINGS) if thing.name not in named and thing.known_as is None
        ]
        """Those of THINGS that no term is for."""

    def weigh(self, sight: Sight) -> Recognition:
        """Say what is there, and how surely."""
        areas = np.zeros(len(THINGS), dtype=np.float32)
        for it in sight.found:
            areas[it.thing] = max(areas[it.thing], it.box.area)
        things, terms = self._links.weigh(sight.shares, sight.scores, areas)
        rivalry = calibration.rivalry(self._links.strongest_rival(terms), float(areas[PERSON]))
        faces_scores = [it.score for it in sight.faces]
        things[PERSON] = calibration.of_person(float(sight.scores[PERSON]), max(faces_scores, default=0.0), rivalry)
        terms[self._links.known[PERSON]] = things[PERSON]
        likely = [Suggestion(self._terms[it], float(terms[it])) for it in np.flatnonzero(terms >= _LEAST_SUGGESTED)]
        likely += [
            Suggestion(THINGS[it].term, float(things[it])) for it in self._only_things if things[it] >= _LEAST_SUGGESTED
        ]
        seen = [
            recognise_thing(index, float(things[index]), sight.found, faces_scores)
            for index in range(len(THINGS))
            if things[index] >= calibration.STATED_FROM
        ]
        return Recognition(
            suggestions=sorted(likely, key=lambda it: (-it.confidence, -it.term.depth, it.term.name)),
            seen=sorted(seen, key=lambda it: (-it.confidence, -it.area)),
            faces=sight.faces,
            objects=_located(things, sight.found),
        )


def recognise_thing(
    index: int, confidence: float, found: Sequence[Found], faces_scores: Sequence[float]
) -> RecognisedThing:
    """Count one of THINGS by its boxes and, of people, by faces."""
    boxes = [it for it in found if it.thing == index]
    faces_of_it = faces_scores if index == PERSON else ()
    sure = max(
        sum(it.score >= calibration.SURE_BOX_FROM for it in boxes),
        sum(it >= calibration.CLEAR_FACE_FROM for it in faces_of_it),
    )
    is_counted = len(boxes) == len(faces_of_it) and 1 <= len(faces_of_it) < _MANY_FROM
    several = not is_counted and sure >= 2
    limit = calibration.COUNT if is_counted and len(boxes) > 1 else calibration.SEVERAL if several else 1.0
    return RecognisedThing(
        thing=THINGS[index],
        confidence=min(confidence, limit),
        count=len(boxes) if is_counted else 1,
        several=several,
        many=several and sure >= _MANY_FROM,
        area=max((it.box.area for it in _clear(boxes)), default=0.0),
        kind=THINGS[index].known_as,
    )


def _clear(boxes: Sequence[Found]) -> Sequence[Found]:
    """Leave out of boxes of one thing, best first, those with less than half the best one's score."""
    return [it for it in boxes if it.score >= boxes[0].score / 2]


def _located(things: Confidences, found: Sequence[Found]) -> Sequence[Located]:
    """Say where the things are that are more likely there than not, most confident first."""
    located = [
        Located(THINGS[index], float(things[index]), it.box)
        for index in range(len(THINGS))
        if things[index] >= calibration.TAGGED_FROM
        for it in _clear([it for it in found if it.thing == index])
    ]
    return sorted(located, key=lambda it: -it.confidence)


class Links:
    """Which terms of the classifier and which things of the detector speak for each other."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        places = {term.name: place for place, term in enumerate(vocabulary.terms)}
        self.known = [-1 if thing.known_as is None else places[thing.known_as] for thing in THINGS]
        """The place of each thing's own term, -1 where it has none."""
        self._known_things = np.array([index for index, place in enumerate(self.known) if place >= 0], dtype=np.intp)
        self._known_terms = np.array(self.known, dtype=np.intp)[self._known_things]
        names = [(thing.known_as, *thing.wider) for thing in THINGS]
        self._speaks_for = np.array([[term.name in it for it in names] for term in vocabulary.terms])
        """Which things (columns) are cases of a term (row)."""
        covers = list(map(frozenset, vocabulary.classes_of_term))
        self._within = [
            (place, np.array([other for other, classes in enumerate(covers) if classes < covers[place]], dtype=np.intp))
            for place in self.known
            if place >= 0
        ]
        """The terms that each thing's own term covers: of the dog all breeds."""
        narrow_first = sorted(range(len(covers)), key=lambda place: len(covers[place]))
        members = [(it, [other for other, classes in enumerate(covers) if classes < covers[it]]) for it in narrow_first]
        own = {place for place in self.known if place >= 0}
        self._members = [
            (it, np.array(narrower, dtype=np.intp)) for it, narrower in members if narrower and it not in own
        ]
        """The narrower terms of each wider one that is no thing of its own."""
        single = np.array([term.is_class for term in vocabulary.terms])
        self._is_other = np.array(
            [
                single & np.array([place < 0 or not classes <= covers[place] for classes in covers])
                for place in self.known
            ]
        )
        """The classes (columns) that are something else than a thing (row)."""
        told_apart = frozenset().union(*(covers[it] for it in own), *(covers[places[it]] for it in _PLACES))
        self._is_rival = np.array(
            [
                term.is_stated and not classes & told_apart
                for term, classes in zip(vocabulary.terms, covers, strict=True)
            ]
        )
        """The terms of things that the detector, which has no word for them, may take for a person."""

    def strongest_rival(self, terms: Confidences) -> float:
        """Answer the probability of the likeliest thing that the detector may take for a person."""
        return float(terms[self._is_rival].max())

    def weigh(
        self, shares: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], areas: npt.NDArray[np.float32]
    ) -> tuple[Confidences, Confidences]:
        """Answer the probabilities of things and of terms.

        From the classifier's shares, the detector's scores and the share of the picture that its boxes cover.
        """
        best = np.where(self._speaks_for, scores, 0.0).max(axis=1)
        is_linked = self._speaks_for.any(axis=1)
        terms = np.where(is_linked, calibration.of_both(shares, best), calibration.of_class(shares))
        conflicts = calibration.conflict(np.where(self._is_other, shares, 0.0).max(axis=1), areas)
        things = calibration.of_thing(scores, conflicts)
        known, places = self._known_things, self._known_terms
        things[known] = calibration.of_both(shares[places], scores[known], conflicts[known])
        terms[places] = things[known]
        for place, narrower in self._within:  # no breed without its dog
            terms[narrower] = np.minimum(terms[narrower], terms[place])
        for place, narrower in self._members:  # no cat without an animal
            terms[place] = max(terms[place], terms[narrower].max())
        return things, terms
