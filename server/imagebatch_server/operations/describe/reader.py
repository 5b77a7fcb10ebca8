"""Visible text, read by RapidOCR with the models that its wheel carries."""

from __future__ import annotations

import hashlib
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
SCENE_PX = 960
"""The longest side of what is looked at for all but small print."""

_DETECTOR = "PP-OCRv6_det_small.onnx"
_RECOGNISER = "PP-OCRv6_rec_small.onnx"

_GLANCE_PX = 320
_DETECTOR_STEP_PX = 32
_TEXT_PIXEL_FROM = 0.3
"""The detector's own threshold for a pixel to be text."""
_LEAST_TEXT_PIXELS = 8

_CLOSE_PX = 2_000
_DETECTOR_PX = 1_280
_PAGE_FROM_BOXES = 4
_ENLARGED_BELOW_PX = 640
_LEAST_SIDE_PX = 8

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


class TextReader:
    """Two loaded models; not for use by several threads at once."""

    def __init__(self) -> None:
        """Load the models; raises FileNotFoundError where the installed RapidOCR carries others."""
        import cv2
        import rapidocr

        cv2.setNumThreads(1)
        folder = Path(rapidocr.__file__).with_name("models")
        detector, recogniser = (_require(folder / name) for name in (_DETECTOR, _RECOGNISER))
        self.model_sha256s = {it.stem: hashlib.sha256(it.read_bytes()).hexdigest() for it in (detector, recogniser)}
        """SHA-256 of each model's file, by its name."""
        # Files are named one by one because RapidOCR downloads what it can't find.
        settings = {
            "Global.log_level": "critical",  # it warns of every picture without text
            "Global.use_cls": False,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Det.model_path": str(detector),
            "Det.limit_type": "max",
            "Det.limit_side_len": _DETECTOR_PX,
            "Rec.model_path": str(recogniser),
            "Rec.rec_batch_num": 1,  # lines of a batch are padded to the widest: slower on one core, and hungry
        }
        self._ocr: Callable[..., Any] = rapidocr.RapidOCR(params=settings)
        self._glance = open_session(str(detector))
        self._glance_input: str = self._glance.get_inputs()[0].name
        self._run(_warming_picture(), recognise=True)

    def glance(self, image: PillowImage.Image) -> float:
        """The share of an RGB image that looks like text, 0 where none is worth reading; 20 ms.

        The detector sees 320 pixels. Of 41 photographs with legible text 71 % have a share (the others' is small print
        and watermarks); of 93 without 35 % have one too, and cost a reading.
        """
        scale = _GLANCE_PX / max(image.size)
        width, height = (
            max(_DETECTOR_STEP_PX, round(side * scale / _DETECTOR_STEP_PX) * _DETECTOR_STEP_PX) for side in image.size
        )
        small = image.resize((width, height), PillowImage.Resampling.BILINEAR, reducing_gap=2.0)
        blue_green_red = np.asarray(small, dtype=np.float32)[:, :, ::-1] / 127.5 - 1.0
        planes = np.ascontiguousarray(blue_green_red.transpose(2, 0, 1)[None])
        likelihood: npt.NDArray[np.float32] = self._glance.run(None, {self._glance_input: planes})[0]
        text_pixels = int((likelihood > _TEXT_PIXEL_FROM).sum())
        return text_pixels / likelihood.size if text_pixels >= _LEAST_TEXT_PIXELS else 0.0

    def read(self, image: PillowImage.Image) -> tuple[Line, ...]:
        """Lines of an RGB image, top to bottom; those recognised with little certainty are left out.

        0.1 to 0.3 s for finding them, by size, and about 2 ms for each letter.
        """
        if min(image.size) < _LEAST_SIDE_PX:
            return ()
        found = self._run(image, recognise=True)
        if getattr(found, "txts", None) is None:
            return ()
        return tuple(
            Line(text.strip(), float(np.interp(score, _SCORES, _RIGHT)))
            for text, score in zip(found.txts, found.scores, strict=True)
            if score >= _LEAST_SCORE and sum(character.isalnum() for character in text) >= _LEAST_CHARACTERS
        )

    def shows_page(self, image: PillowImage.Image) -> bool:
        """Whether an RGB image holds several pieces of text, so that reading it from more pixels pays; 0.1 s."""
        boxes = getattr(self._run(image, recognise=False), "boxes", None) if min(image.size) >= _LEAST_SIDE_PX else None
        return boxes is not None and len(boxes) >= _PAGE_FROM_BOXES

    def _run(self, image: PillowImage.Image, *, recognise: bool) -> Any:
        blue_green_red = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
        return self._ocr(blue_green_red, use_det=True, use_cls=False, use_rec=recognise)


def gains_by_closer_look(image: Image) -> bool:
    """Whether `closer_look` would give other pixels than the scene's."""
    longest = max(image.width, image.height)
    return longest > SCENE_PX or longest < _ENLARGED_BELOW_PX


def closer_look(image: Image) -> PillowImage.Image:
    """The pixels to read small print from: up to 2,000 on the longest side, doubled where the image is small.

    Raises ItemError as `Image.reduced` does.
    """
    picture = image.reduced(_CLOSE_PX)
    if max(picture.size) >= _ENLARGED_BELOW_PX:
        return picture
    return picture.resize((picture.width * 2, picture.height * 2), PillowImage.Resampling.BICUBIC)


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
