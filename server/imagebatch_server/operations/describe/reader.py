"""Visible text, read by RapidOCR with the models that its wheel carries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from imagebatch_server.images.decode import Image
from imagebatch_server.operations.describe.sessions import open_session

TEXT_MODEL_NAME = "PP-OCRv6-small"

_DETECTOR = "PP-OCRv6_det_small.onnx"
_RECOGNISER = "PP-OCRv6_rec_small.onnx"

_GLANCE_PX = 320
_DETECTOR_STEP_PX = 32
_TEXT_PIXEL_FROM = 0.3
"""The detector's own threshold for a pixel to be text."""
_LEAST_TEXT_PIXELS = 8

SCENE_PX = 960
_PAGE_PX = 2_000
_PAGE_DETECTOR_PX = 1_280
_PAGE_FROM_PIECES = 4
_ENLARGED_BELOW_PX = 640
_LEAST_SIDE_PX = 8
_MOST_LINES = 200

_LEAST_SCORE = 0.90
_LEAST_CHARACTERS = 2
# Of 396 lines that the recogniser read in drawn words on plain and photographed grounds: its score, and how many were
# right to the letter (a word cut short by a bad ground counts as wrong).
_SCORES = (0.80, 0.92, 0.965, 0.985)
_RIGHT = (0.20, 0.45, 0.67, 0.94)


@dataclass(frozen=True)
class Line:
    """One line of text."""

    text: str
    confidence: float
    """The probability, 0 to 1, that every letter is right; measured, see `_RIGHT`."""


@dataclass(frozen=True)
class Reading:
    """What was read, and how many pieces of text were found in all, legible or not."""

    lines: tuple[Line, ...]
    pieces: int


class TextReader:
    """Two loaded models; not for use by several threads at once."""

    def __init__(self) -> None:
        """Load the models; raises FileNotFoundError where the installed RapidOCR carries others."""
        import cv2
        import rapidocr

        cv2.setNumThreads(1)
        folder = Path(rapidocr.__file__).with_name("models")
        detector, recogniser = (_require(folder / name) for name in (_DETECTOR, _RECOGNISER))
        # Files are named one by one because RapidOCR downloads what it can't find.
        settings = {
            "Global.log_level": "critical",  # it warns of every picture without text
            "Global.use_cls": False,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Det.model_path": str(detector),
            "Det.limit_type": "max",
            "Det.limit_side_len": _PAGE_DETECTOR_PX,
            "Det.max_candidates": _MOST_LINES,
            "Rec.model_path": str(recogniser),
        }
        self._ocr: Callable[..., Any] = rapidocr.RapidOCR(params=settings)
        self._glance = open_session(str(detector))
        self._glance_input: str = self._glance.get_inputs()[0].name
        self._read_pixels(_warming_picture())

    def shows_text(self, image: PillowImage.Image) -> bool:
        """Whether an RGB image holds text worth reading, by a glance of the detector at 320 pixels; 20 ms.

        Of 41 photographs with legible text 71 % pass (the others' is small print and watermarks); of 93 without 35 %
        pass too, and cost a reading.
        """
        scale = _GLANCE_PX / max(image.size)
        width, height = (
            max(_DETECTOR_STEP_PX, round(side * scale / _DETECTOR_STEP_PX) * _DETECTOR_STEP_PX) for side in image.size
        )
        small = image.resize((width, height), PillowImage.Resampling.BILINEAR, reducing_gap=2.0)
        blue_green_red = np.asarray(small, dtype=np.float32)[:, :, ::-1] / 127.5 - 1.0
        planes = np.ascontiguousarray(blue_green_red.transpose(2, 0, 1)[None])
        likelihood: npt.NDArray[np.float32] = self._glance.run(None, {self._glance_input: planes})[0]
        return int((likelihood > _TEXT_PIXEL_FROM).sum()) >= _LEAST_TEXT_PIXELS

    def read(self, image: Image, scene: PillowImage.Image) -> tuple[Line, ...]:
        """Read an image of which `scene` is `reduced(SCENE_PX)`; again and finer where it turns out to be a page.

        0.2 s for a scene, 0.6 to 2 s for a page. Lines come top to bottom; those that were recognised with little
        certainty are left out. Raises ItemError as `Image.reduced` does.
        """
        if min(scene.size) < _LEAST_SIDE_PX:
            return ()
        reading = self._read_pixels(scene)
        if reading.pieces < _PAGE_FROM_PIECES:
            return reading.lines
        longest = max(image.width, image.height)
        if longest > SCENE_PX:
            return self._read_pixels(image.reduced(_PAGE_PX)).lines
        if longest < _ENLARGED_BELOW_PX:
            doubled = scene.resize((scene.width * 2, scene.height * 2), PillowImage.Resampling.BICUBIC)
            return self._read_pixels(doubled).lines
        return reading.lines

    def _read_pixels(self, image: PillowImage.Image) -> Reading:
        blue_green_red = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
        found = self._ocr(blue_green_red, use_det=True, use_cls=False, use_rec=True)
        if getattr(found, "txts", None) is None:
            return Reading((), 0)
        lines = tuple(
            Line(text.strip(), float(np.interp(score, _SCORES, _RIGHT)))
            for text, score in zip(found.txts, found.scores, strict=True)
            if score >= _LEAST_SCORE and sum(character.isalnum() for character in text) >= _LEAST_CHARACTERS
        )
        return Reading(lines, len(found.txts))


def _warming_picture() -> PillowImage.Image:
    """A picture with a word in it: RapidOCR loads the recogniser when it first finds text."""
    picture = PillowImage.new("RGB", (256, 64), "white")
    ImageDraw.Draw(picture).text((20, 12), "warm", font=ImageFont.load_default(size=36), fill="black")
    return picture


def _require(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"rapidocr {metadata.version('rapidocr')} has no {path.name} in {path.parent}; install rapidocr>=3.10"
        )
    return path
