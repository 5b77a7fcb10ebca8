"""What a line of text says: the recogniser, and which way up the line stands."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from imagebatch_vision.describe.sessions import open_session
from imagebatch_vision.describe.text_map import Quad

_HEIGHT_PX = 48
_LEAST_WIDTH_PX = 320
"""Shorter lines are filled up to it with grey, as those were that the models learned from."""
_TURN_WIDTH_PX = 192

Array = npt.NDArray[np.float32]
Piece = npt.NDArray[np.uint8]
"""A line cut out of a picture: height, width, and blue, green and red."""


class LineRecogniser:
    """One loaded model; not for use by several threads at once."""

    def __init__(self, model: Path) -> None:
        self._session = open_session(model)
        self._input: str = self._session.get_inputs()[0].name
        characters = self._session.get_modelmeta().custom_metadata_map["character"].splitlines()
        self._characters = ["", *characters, " "]  # as the model counts: first nothing, last a space

    def read(self, piece: Piece) -> tuple[str, float]:
        """Answer what it says, and the mean probability of its characters; about 2 ms for each."""
        width = max(1, math.ceil(_HEIGHT_PX * piece.shape[1] / piece.shape[0]))
        planes = _planes(piece, width, max(width, _LEAST_WIDTH_PX))
        likely: Array = self._session.run(None, {self._input: planes})[0][0]
        best = likely.argmax(axis=1)
        is_new = (best != 0) & (best != np.concatenate(([0], best[:-1])))
        if not is_new.any():
            return "", 0.0
        text = "".join(self._characters[it] for it in best[is_new])
        return text.strip(), float(likely[is_new, best[is_new]].mean())


class TurnJudge:
    """One loaded model; not for use by several threads at once."""

    def __init__(self, model: Path) -> None:
        self._session = open_session(model)
        self._input: str = self._session.get_inputs()[0].name

    def is_upside_down(self, piece: Piece) -> float:
        """Answer how likely it is that a line stands upside down, by its first letters; 2 ms."""
        width = min(_TURN_WIDTH_PX, max(1, math.ceil(_HEIGHT_PX * piece.shape[1] / piece.shape[0])))
        planes = _planes(piece, width, _TURN_WIDTH_PX)
        return float(self._session.run(None, {self._input: planes})[0][0, 1])


def cut_out(picture: Image.Image, quad: Quad) -> Piece:
    """Cut a line out of an RGB picture, its first corner becoming the upper left one."""
    import cv2

    wide = max(1, round(max(np.linalg.norm(quad[0] - quad[1]), np.linalg.norm(quad[3] - quad[2]))))
    high = max(1, round(max(np.linalg.norm(quad[0] - quad[3]), np.linalg.norm(quad[1] - quad[2]))))
    left, top = np.clip(np.floor(quad.min(axis=0)).astype(int) - 2, 0, None)
    right, bottom = np.minimum(np.ceil(quad.max(axis=0)).astype(int) + 2, picture.size)
    around = np.asarray(picture.crop((left, top, right, bottom)))[:, :, ::-1]
    to = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], dtype=np.float32)
    turn = cv2.getPerspectiveTransform((quad - (left, top)).astype(np.float32), to)
    piece = cv2.warpPerspective(
        np.ascontiguousarray(around), turn, (wide, high), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(piece, dtype=np.uint8)


def _planes(piece: Piece, width: int, filled_to: int) -> Array:
    import cv2

    planes = np.zeros((1, 3, _HEIGHT_PX, filled_to), dtype=np.float32)
    resized = cv2.resize(piece, (width, _HEIGHT_PX)).transpose(2, 0, 1)
    planes[0, :, :, :width] = resized / np.float32(127.5) - 1
    return planes
