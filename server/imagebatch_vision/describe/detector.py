"""NanoDet on ONNX Runtime: everyday things and where in a picture they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from imagebatch_vision import models
from imagebatch_vision.describe.places import Box
from imagebatch_vision.describe.sessions import open_session, sha256_of

MODEL_NAME = "nanodet-g"
MODEL_PATH = models.FOLDER / "nanodet_g_int8.onnx"

Array = npt.NDArray[np.float32]

_STRIDES_PX = (8, 16, 32)
_BINS = 11
"""A box's four sides are each given as a distribution over 0 to 10 strides from the place that saw it."""
_MEAN = np.array([103.53, 116.28, 123.675], dtype=np.float32)
_SPREAD = np.array([57.375, 57.12, 58.395], dtype=np.float32)
_LEAST_SCORE = 0.30
_SAME_FROM_OVERLAP = 0.6


@dataclass(frozen=True)
class Found:
    """One thing in one place."""

    thing: int
    """Its index in THINGS."""
    score: float
    """The detector's, 0 to 1; not a probability."""
    box: Box
    """Where it is."""


@dataclass(frozen=True)
class Detection:
    """What one look found."""

    best: Array
    """For each of THINGS the best score, however low."""
    found: Sequence[Found]
    """Those with a score from 0.3, best first."""


class Detector:
    """One loaded model; not for use by several threads at once."""

    def __init__(self) -> None:
        self.model_sha256 = sha256_of(MODEL_PATH)
        self._session = open_session(MODEL_PATH)

    def find(self, image: Image.Image, side_px: int) -> Detection:
        """Find things in an RGB image brought to `side_px` on its longest side; 45 ms at 416 pixels."""
        planes = planes_of(image, side_px)
        height, width = planes.shape[2:]
        scores, sides = (it[0] for it in self._session.run(["scores", "sides"], {"image": planes}))
        places = _places(width, height)
        seen = scores.max(axis=1) >= _LEAST_SCORE
        boxes = _boxes(sides[seen], places[seen], width, height)
        best = scores.max(axis=0)
        found = [
            it for thing in np.nonzero(best >= _LEAST_SCORE)[0].tolist() for it in _distinct(thing, scores[seen], boxes)
        ]
        return Detection(best, sorted(found, key=lambda it: -it.score))


def planes_of(image: Image.Image, side_px: int) -> Array:
    """Bring an RGB image to `side_px` on its longest side, in the form of the model's input."""
    scale = side_px / max(image.size)
    step = _STRIDES_PX[-1]
    width, height = (max(step, round(side * scale / step) * step) for side in image.size)
    rows = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    planes = rows.transpose(2, 0, 1)[::-1]  # blue first
    wide: Array = (planes.astype(np.float32, order="C") - _MEAN[:, None, None]) / _SPREAD[:, None, None]
    return wide[None]


def _places(width: int, height: int) -> Array:
    """Compute the centre and stride of each place that answers, in the order of the model's outputs."""
    grids = []
    for stride in _STRIDES_PX:
        y, x = np.mgrid[: height // stride, : width // stride].reshape(2, -1)
        grids.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, np.full(x.shape, stride)], axis=1))
    return np.concatenate(grids).astype(np.float32)


def _boxes(sides: Array, places: Array, width: int, height: int) -> Array:
    """Left, top, right, bottom as shares of the picture."""
    odds = np.exp(sides.reshape(-1, 4, _BINS) - sides.reshape(-1, 4, _BINS).max(axis=2, keepdims=True))
    far = odds @ np.arange(_BINS, dtype=np.float32) / odds.sum(axis=2) * places[:, 2:]
    x, y = places[:, 0], places[:, 1]
    edges = np.stack([x - far[:, 0], y - far[:, 1], x + far[:, 2], y + far[:, 3]], axis=1)
    return np.clip(edges / np.array([width, height, width, height], dtype=np.float32), 0.0, 1.0)


def _distinct(thing: int, scores: Array, boxes: Array) -> list[Found]:
    """One answer for each of a thing: of those that cover each other by much, the best."""
    scores = scores[:, thing]
    order = np.argsort(-scores)
    order = order[scores[order] >= _LEAST_SCORE]
    found: list[Found] = []
    while order.size:
        best, rest = order[0], order[1:]
        found.append(Found(thing, float(scores[best]), Box.of(boxes[best])))
        order = rest[overlap(boxes[best], boxes[rest]) < _SAME_FROM_OVERLAP]
    return found


def area(boxes: Array) -> Array:
    """Compute what boxes cover, by their last axis of left, top, right, bottom."""
    covered: Array = np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1)
    return covered


def overlap(box: Array, boxes: Array) -> Array:
    """Intersection over union of one box with each of many."""
    common = area(np.concatenate([np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])], axis=1))
    shared: Array = common / np.maximum(area(box) + area(boxes) - common, 1e-9)
    return shared
