"""What the models said of photographs, as it is kept, weighed by the tree's rules: these are tried in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.quality.answering import said
from benchmarks.quality.versions import Answers
from imagebatch_vision.describe.detector import Found
from imagebatch_vision.describe.faces import Face
from imagebatch_vision.describe.labels import load_vocabulary
from imagebatch_vision.describe.places import Box
from imagebatch_vision.describe.statements import choose
from imagebatch_vision.describe.weighing import Sight, Weighing


def weighed_anew(answers: Answers) -> Answers:
    """Answer what the tree would if its models said what they said for these answers."""
    vocabulary = load_vocabulary()
    weighing = Weighing(vocabulary)
    anew = dict(answers)
    for key, answer in answers.items():
        if answer["sight"] is not None:
            recognition = weighing.weigh(sight_of(answer["sight"]))
            anew[key] = {**answer, **said(recognition, choose(recognition, vocabulary))}
    return anew


def sight_of(kept: Mapping[str, Any]) -> Sight:
    """Read what `answering.py` wrote."""
    return Sight(
        shares=np.array(kept["shares"], dtype=np.float32),
        scores=np.array(kept["scores"], dtype=np.float32),
        found=[Found(thing, score, Box(*sides)) for thing, score, *sides in kept["found"]],
        faces=[Face(score, Box(*sides)) for score, *sides in kept["faces"]],
    )
