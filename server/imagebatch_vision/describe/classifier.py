"""EfficientNet-Lite2 on ONNX Runtime: which of a thousand classes a photograph looks like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from imagebatch_vision import models
from imagebatch_vision.describe.calibration import Suggestion, of_class
from imagebatch_vision.describe.labels import load_vocabulary
from imagebatch_vision.describe.sessions import open_session, sha256_of

MODEL_NAME = "efficientnet-lite2"
MODEL_PATH = models.FOLDER / "efficientnet_lite2_int8.onnx"

Array = npt.NDArray[np.float32]

_INPUT_PX = 260
_SIZE = (_INPUT_PX, _INPUT_PX)
_CENTRE = _INPUT_PX / 292
"""The share of the short side that training saw: scaled to 292 pixels, then 260 cut out."""
_CLOSER = 0.6
_LEAST_SUGGESTED = 0.01
_RESAMPLING = Image.Resampling.BICUBIC


class Classifier:
    """One loaded model; not for use by several threads at once."""

    def __init__(self) -> None:
        self.model_sha256 = sha256_of(MODEL_PATH)
        self._session = open_session(MODEL_PATH)
        self.vocabulary = load_vocabulary()

    def terms(self, image: Image.Image) -> Array:
        """For each term of the vocabulary how much an RGB image looks like it, 0 to 1; 45 ms on one core.

        Looks twice, at the middle as training saw it and closer, and takes the geometric mean: of 140 terms judged by
        eye this told right from wrong better than the middle alone (area under the curve 0.76 instead of 0.70).
        """
        middle, closer = self._look(views_of(image))
        mean: Array = np.sqrt(middle * closer)
        return mean

    def terms_of_other_views(self, image: Image.Image) -> Array:
        """Do the same from another view, the whole picture squeezed square and mirrored; 22 ms."""
        [whole] = self._look([image.resize(_SIZE, _RESAMPLING).transpose(Image.Transpose.FLIP_LEFT_RIGHT)])
        return whole

    def suggest(self, image: Image.Image) -> list[Suggestion]:
        """Name what an RGB image looks like by this model alone, most confident first."""
        confidences = of_class(self.terms(image))
        suggestions = [
            Suggestion(term, float(confidence))
            for term, confidence in zip(self.vocabulary.terms, confidences, strict=True)
            if confidence >= _LEAST_SUGGESTED
        ]
        return sorted(suggestions, key=lambda it: (-it.confidence, -it.term.depth, it.term.name))

    def _look(self, views: list[Image.Image]) -> list[Array]:
        logits: Array = self._session.run(["logits"], {"image": planes_of(views)})[0]
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return list((odds / odds.sum(axis=1, keepdims=True)) @ self.vocabulary.membership)


def views_of(image: Image.Image) -> list[Image.Image]:
    """Cut the two views out of an RGB image, at the model's size."""
    return [_middle(image, _CENTRE), _middle(image, _CLOSER)]


def planes_of(views: Sequence[Image.Image]) -> Array:
    """Put views into the form of the model's input."""
    rows = np.stack([np.asarray(it) for it in views])
    planes: Array = (rows.transpose(0, 3, 1, 2).astype(np.float32, order="C") - 127.0) / 128.0
    return planes


def _middle(image: Image.Image, share: float) -> Image.Image:
    """Cut out the square in the middle whose side is a share of the picture's short one."""
    half_px = min(image.size) * share / 2
    x, y = image.width / 2, image.height / 2
    return image.resize(_SIZE, _RESAMPLING, box=(x - half_px, y - half_px, x + half_px, y + half_px))
