"""Visible text, read by RapidOCR with the models that its wheel carries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from imagebatch_server.operations import Image
from imagebatch_vision.describe.places import Corners, corners_of
from imagebatch_vision.describe.sessions import give_memory_back, open_session, sha256_of

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
_DETECTOR_PIXELS = 700_000
"""More than a scene of 960 by 720 are brought down to these: each million costs 280 MB while lines are found."""
_ENLARGED_BELOW_PX = 640
_LEAST_SIDE_PX = 8
_TALL_LINE_PX = 64

_LEAST_SCORE = 0.90
_LEAST_CHARACTERS = 2
# Of 396 lines that the recogniser read in drawn words on plain and photographed grounds: its score, and how many were
# right to the letter (a word cut short by a bad ground counts as wrong).
_SCORES = (0.80, 0.92, 0.965, 0.985)
_RIGHT = (0.20, 0.45, 0.67, 0.94)

Box = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Line:
    """One line of text."""

    text: str
    confidence: float
    """The probability, 0 to 1, that every letter is right; measured, see `_RIGHT`."""
    corners: Corners = ()
    """Where it is."""


@dataclass(frozen=True)
class Reading:
    """What was read in one image."""

    lines: tuple[Line, ...]
    is_cut: bool
    """There is more text than was asked for."""


class TextReader:
    """Two loaded models; not for use by several threads at once."""

    def __init__(self) -> None:
        """Load the models; raises FileNotFoundError where the installed RapidOCR carries others."""
        import cv2
        import rapidocr

        cv2.setNumThreads(1)
        folder = Path(rapidocr.__file__).with_name("models")
        detector, recogniser = (_require(folder / name) for name in (_DETECTOR, _RECOGNISER))
        self.model_sha256s = {it.stem: sha256_of(it) for it in (detector, recogniser)}
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
        self._ocr = rapidocr.RapidOCR(params=settings)
        self._glance = open_session(detector)
        self._glance_input: str = self._glance.get_inputs()[0].name
        self.read(_warming_picture())

    def glance(self, image: PillowImage.Image) -> float:
        """Estimate the share of an RGB image that looks like text, 0 where none is worth reading; 20 ms.

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
        """All lines of an RGB image, top to bottom; those recognised with little certainty are left out.

        0.1 to 0.3 s for finding them, by size, and about 2 ms for each letter.
        """
        return self.read_up_to(image, None).lines

    def read_up_to(self, image: PillowImage.Image, most_lines: int | None, *, closely: bool = False) -> Reading:
        """Do the same, reading no more than so many pieces of text; closely, small print is looked for band by band."""
        boxes = self.find(image)
        if closely:
            boxes = _in_order([*boxes, *self._small_boxes(image, boxes)])
        return self.read_found(image, boxes, most_lines)

    def read_found(self, image: PillowImage.Image, boxes: list[Box], most_lines: int | None) -> Reading:
        """Read what stands in the places that `find` found."""
        if not boxes:
            return Reading((), is_cut=False)
        chosen = boxes[:most_lines]
        pieces = self._ocr.crop_text_regions(_blue_green_red(image), np.array(chosen))
        read = self._ocr.recognize_txt(pieces)
        lines = tuple(
            Line(text.strip(), float(np.interp(score, _SCORES, _RIGHT)), corners_of(box, image.size))
            for text, score, box in zip(read.txts or (), read.scores or (), chosen, strict=True)
            if score >= _LEAST_SCORE and sum(character.isalnum() for character in text) >= _LEAST_CHARACTERS
        )
        return Reading(lines, is_cut=most_lines is not None and len(boxes) > most_lines)

    def find(self, image: PillowImage.Image) -> list[Box]:
        """Where an RGB image has text: four corners each, top to bottom; 0.1 s."""
        if min(image.size) < _LEAST_SIDE_PX:
            return []
        scale = min(1.0, _DETECTOR_PX / max(image.size), math.sqrt(_DETECTOR_PIXELS / (image.width * image.height)))
        if scale < 1.0:
            size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
            image = image.resize(size, reducing_gap=2.0)
        found = self._ocr(_blue_green_red(image), use_det=True, use_cls=False, use_rec=False)
        give_memory_back()
        boxes = getattr(found, "boxes", None)
        return [] if boxes is None else [np.asarray(box, dtype=np.float32) / scale for box in boxes]

    def _small_boxes(self, image: PillowImage.Image, known: list[Box]) -> list[Box]:
        """Find what a look at the whole missed.

        Looks at full-width bands, as large as a look can be, which overlap by a tall line.
        """
        scale = min(1.0, _DETECTOR_PX / max(image.size))
        high = round(_DETECTOR_PIXELS / (image.width * scale * scale))
        if image.height <= high:
            return []
        found: list[Box] = []
        overlap = round(_TALL_LINE_PX / scale)
        for top in range(0, image.height - overlap, high - overlap):
            band = image.crop((0, top, image.width, min(image.height, top + high)))
            found += [box + np.array([0, top], dtype=np.float32) for box in self.find(band)]
        new: list[Box] = []
        for box in found:
            if not any(_covers(other, box) for other in (*known, *new)):
                new.append(box)
        return new


def _covers(one: Box, other: Box) -> bool:
    """Whether the middle of one lies in the other, as boxes upright."""
    middle = other.mean(axis=0)
    return bool((one.min(axis=0) <= middle).all() and (middle <= one.max(axis=0)).all())


def _in_order(boxes: list[Box]) -> list[Box]:
    return sorted(boxes, key=lambda box: (float(box[:, 1].min()), float(box[:, 0].min())))


def gains_by_closer_look(image: Image) -> bool:
    """Whether `closer_look` would give other pixels than the scene's."""
    longest = max(image.width, image.height)
    return longest > SCENE_PX or longest < _ENLARGED_BELOW_PX


def closer_look(image: Image) -> PillowImage.Image:
    """Make the pixels to read small print from: up to 2,000 on the longest side, doubled where the image is small.

    Raises ItemError as `Image.reduced` does.
    """
    picture = image.reduced(_CLOSE_PX)
    if max(picture.size) >= _ENLARGED_BELOW_PX:
        return picture
    return picture.resize((picture.width * 2, picture.height * 2), PillowImage.Resampling.BICUBIC)


def _blue_green_red(image: PillowImage.Image) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])


def _warming_picture() -> PillowImage.Image:
    """Draw a picture with a word in it: RapidOCR loads the recogniser when it first finds text."""
    picture = PillowImage.new("RGB", (256, 64), "white")
    ImageDraw.Draw(picture).text((20, 12), "warm", font=ImageFont.load_default(size=36), fill="black")
    return picture


def _require(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"rapidocr {metadata.version('rapidocr')} has no {path.name} in {path.parent}; install rapidocr>=3.10"
        )
    return path
