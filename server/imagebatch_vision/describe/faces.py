"""CenterFace on ONNX Runtime: faces, and where in a picture they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from imagebatch_vision import models
from imagebatch_vision.describe.detector import overlap
from imagebatch_vision.describe.places import Box
from imagebatch_vision.describe.sessions import open_session, sha256_of

MODEL_NAME = "centerface"
MODEL_PATH = models.FOLDER / "centerface_int8.onnx"

_SIDE_PX = 480
_STEP_PX = 32
_STRIDE_PX = 4
_LEAST_SCORE = 0.5
_SAME_FROM_OVERLAP = 0.3


@dataclass(frozen=True)
class Face:
    """One face in one place."""

    score: float
    """The finder's, 0.5 to 1; not a probability."""
    box: Box


class FaceFinder:
    """One loaded model; not for use by several threads at once."""

    def __init__(self) -> None:
        self.model_sha256 = sha256_of(MODEL_PATH)
        self._session = open_session(MODEL_PATH)

    def find(self, image: Image.Image) -> list[Face]:
        """Find the faces in an RGB image, those with a score from 0.5 up, best first; 20 ms."""
        planes = planes_of(image)
        height, width = planes.shape[2:]
        answers: list[npt.NDArray[np.float32]] = self._session.run(["likelihood", "size", "offset"], {"image": planes})
        likelihood, size, offset = (it[0] for it in answers)
        y, x = np.nonzero(likelihood[0] >= _LEAST_SCORE)
        high, wide = np.exp(size[:, y, x]) * _STRIDE_PX
        middle_y, middle_x = (np.stack([y, x]) + offset[:, y, x] + 0.5) * _STRIDE_PX
        boxes = np.stack([middle_x - wide / 2, middle_y - high / 2, middle_x + wide / 2, middle_y + high / 2], axis=1)
        scores = likelihood[0, y, x]
        order = np.argsort(-scores)
        found: list[Face] = []
        size_px = np.array([width, height, width, height], dtype=np.float32)
        while order.size:
            best, rest = order[0], order[1:]
            found.append(Face(float(scores[best]), Box.of(boxes[best] / size_px)))
            order = rest[overlap(boxes[best], boxes[rest]) < _SAME_FROM_OVERLAP]
        return found


def planes_of(image: Image.Image) -> npt.NDArray[np.float32]:
    """Bring an RGB image to 480 pixels on its longest side, in the form of the model's input."""
    scale = min(1.0, _SIDE_PX / max(image.size))
    width, height = (max(_STEP_PX, round(side * scale / _STEP_PX) * _STEP_PX) for side in image.size)
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
