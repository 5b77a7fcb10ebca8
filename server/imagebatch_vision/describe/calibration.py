"""What the models' answers are worth on other people's photographs, and what may be said of them.

Neither a softmax nor a detector's score is a probability. Each kind of evidence has a logistic curve of its log odds
(Platt scaling, in several variables where both models speak), with p the classifier's answer, s the detector's, L the
log odds, and q, from 0 to 1, how surely the classifier sees something else in the same place (see `conflict`):

    both know the thing          0.36 L(p) + 1.96 L(s) - 2.31 q + 2.26    (or the next, if that is more)
    the classifier knows it      1.21 L(p)                      + 1.33
    only the detector knows it               1.89 L(s) - 1.31 q + 0.82
    people                                   2.87 L(s) - 3.40 r + 2.51

Fitted on 192 photographs of the COCO collection, the first 128 of its training part and the first 64 of its validation
part: what is in them says the collection itself; of classes that it has no word for 140 terms were judged by eye. A
detector that knows eighty things takes any other for one of the eighty (a cheetah for a dog): for that, 350 photographs
of one object each (`imagenet-sample-images`) were added with a weight of 0.3, since the classifier was trained on them.
The next 64 photographs of the validation part, and those that packages carry, were left for `benchmarks/quality`.

Of things that both models know the classifier's part was 0.57 L(p) - 0.70 where the detector saw little. Of 154 terms
with p from 0.05 in 261 photographs of one thing each (of the classifier's validation part, the half for finding rules,
see `benchmarks/quality/classes.py`) that let none be named; its own curve lets 75 be, of which 99 % were right. A curve
fitted on those photographs, 1.68 L(p) + 2.17, or one midway, is too sure of other people's.

For people r is how surely the classifier names something that the detector has no word for (see `rivalry`), where no
face was found. Its weight is not fitted, for COCO has hardly such a case: it is to 2.87 what 2.31 is to 1.96. Shoes
taken for people were the occasion, three of them among the photographs that packages carry.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imagebatch_vision.describe.labels import Term

Values = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Confidences = npt.NDArray[np.float64]

CEILING = 0.97
"""The highest confidence given: of a hundred things said so, three are wrong on photographs not fitted on."""

PLAIN_FROM = 0.90
"""From here on a thing is simply named; below, it is something that looks like it."""
SURE_FROM = 0.80
"""From here on the widest kinds are stated, and something beside the main thing."""
STATED_FROM = 0.70
"""The least confidence that a sentence states."""
TAGGED_FROM = 0.50
"""The least confidence of a tag: more likely right than not."""

FACE = 0.95
"""That there is a person where a face was found with a score from SURE_FACE_FROM: all of 31 were."""
SURE_FACE_FROM = 0.80
COUNT = 0.92
"""That there are as many people as faces, where equally many bodies were found: so it was in 33 of 34 photographs."""
SEVERAL = 0.95
"""That there are several of a thing of which several were found with a score from SURE_BOX_FROM: 48 of 50.

Or several people where several faces were found with a score from CLEAR_FACE_FROM: 6 of 6 of COCO's photographs whose
bodies did not show it.
"""
SURE_BOX_FROM = 0.55
CLEAR_FACE_FROM = 0.70

_LEAST_SCORE = 0.02
_LEAST_SHARE = 1e-4


@dataclass(frozen=True)
class Suggestion:
    """A term and the calibrated probability that it names something in the picture."""

    term: Term
    confidence: float


def conflict(other: Values, area: Values) -> Confidences:
    """How far the classifier speaks against things: its share of another class, if the thing would fill the picture."""
    return np.clip((np.asarray(other, np.float64) - 0.2) / 0.6, 0.0, 1.0) * _filling(area)


def rivalry(rival: float, area: float) -> float:
    """How far something else speaks against a person without a face: its confidence, if they would fill the picture."""
    return float(np.clip((rival - 0.5) / 0.4, 0.0, 1.0) * _filling(area))


def of_both(shares: Values, scores: Values, conflicts: Values | float = 0.0) -> Confidences:
    """Of things that classifier and detector know, from the answers of both."""
    seen = 0.36 * _log_odds(shares) + 1.96 * _log_odds(np.maximum(scores, _LEAST_SCORE)) - 2.31 * conflicts + 2.26
    return np.maximum(_probability(seen), of_class(shares))


def of_class(shares: Values) -> Confidences:
    """Of terms that only the classifier knows."""
    return _probability(1.21 * _log_odds(shares) + 1.33)


def of_thing(scores: Values, conflicts: Values | float = 0.0) -> Confidences:
    """Of things that only the detector knows."""
    return _probability(1.89 * _log_odds(np.maximum(scores, _LEAST_SCORE)) - 1.31 * conflicts + 0.82)


def of_person(score: float, best_face: float, against: float = 0.0) -> float:
    """Answer the confidence that there is a person, from the detector's score and that of the best face (0: none).

    What speaks against it (see `rivalry`) has no say where there is a face, however faint: people wear and hold things.
    """
    rival = 0.0 if best_face else against
    body = float(_probability(2.87 * _log_odds(np.array([max(score, _LEAST_SCORE)])) - 3.4 * rival + 2.51)[0])
    return max(body, FACE if best_face >= SURE_FACE_FROM else 0.0)


def most_telling(suggestions: Iterable[Suggestion]) -> Suggestion | None:
    """Find the suggestion that says most among those sure enough to be stated; None where none is.

    The widest kinds have to be sure: `animal` adds up four hundred small shares, of a texture too.
    """
    stated = [
        it
        for it in suggestions
        if it.term.is_stated and it.confidence >= (STATED_FROM if it.term.is_class or it.term.depth else SURE_FROM)
    ]
    return max(stated, key=lambda it: (it.term.is_class, it.term.depth, it.confidence), default=None)


def _filling(area: Values | float) -> Confidences:
    """From 0 to 1, how far something of this share of the picture fills it."""
    return np.clip((np.asarray(area, np.float64) - 0.1) / 0.2, 0.0, 1.0)


def _log_odds(values: Values) -> Confidences:
    clipped = np.clip(values.astype(np.float64), _LEAST_SHARE, 1.0 - _LEAST_SHARE)
    return np.log(clipped / (1.0 - clipped))


def _probability(log_odds: Confidences) -> Confidences:
    return np.minimum(1.0 / (1.0 + np.exp(-log_odds)), CEILING)
