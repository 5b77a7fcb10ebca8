"""Visible text: found and read by the models that RapidOCR's wheel carries."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from imagebatch_server.operations import Image
from imagebatch_vision.describe.places import Corners, corners_of
from imagebatch_vision.describe.sessions import MOST_HELD_BYTES, give_memory_back, sha256_of
from imagebatch_vision.describe.text_direction import area_of, in_reading_order
from imagebatch_vision.describe.text_glance import Glance, judge_glance
from imagebatch_vision.describe.text_lines import TextLines, is_legible
from imagebatch_vision.describe.text_map import Quad, TextFinder, map_size
from imagebatch_vision.describe.text_recognition import LineRecogniser, TurnJudge

TEXT_MODEL_NAME = "PP-OCRv6-small"
SCENE_PX = 960
"""The longest side of what is looked at for all but small print."""

_FINDER = "PP-OCRv6_det_small.onnx"
_RECOGNISER = "PP-OCRv6_rec_small.onnx"
_TURN_JUDGE = "ch_ppocr_mobile_v2.0_cls_mobile.onnx"

_GLANCE_PX = 384
_LOOK_PX = 1_280
_LOOK_PIXELS = 700_000
"""More than a scene of 960 by 720 are brought down to these by the first look."""
_STRIP_FROM = 2.5
"""A picture so many times as long as wide is looked at by its width: as screenshots of whole pages, and panoramas."""
_STRIP_PIXELS = 8_000_000
"""Of a strip no more are looked at: 4 s, where it is full of text."""

_CLOSE_PX = 2_000
_ENLARGED_BELOW_PX = 640
_LEAST_SIDE_PX = 8

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
    corners: Corners = ()
    """Where it is."""


@dataclass(frozen=True)
class Reading:
    """What was read in one image."""

    lines: tuple[Line, ...]
    is_cut: bool
    """There is more text than was asked for."""
    share: float = 0.0
    """Of the image that lines of text cover, read or not."""


class TextReader:
    """Three loaded models; not for use by several threads at once."""

    def __init__(self) -> None:
        """Load the models; raises FileNotFoundError where the installed RapidOCR carries others."""
        import cv2  # here, not above, in all files that need it: listing the operations loads no such library

        cv2.setNumThreads(1)
        finder, recogniser, turn_judge = map(_model, (_FINDER, _RECOGNISER, _TURN_JUDGE))
        self.model_sha256s = {it.stem: sha256_of(it) for it in (finder, recogniser, turn_judge)}
        """SHA-256 of each model's file, by its name."""
        self._finder = TextFinder(finder)
        self._recogniser = LineRecogniser(recogniser)
        self._turn_judge = TurnJudge(turn_judge)

    def glance(self, picture: PillowImage.Image) -> Glance:
        """Look where an RGB picture may have text, at 384 pixels (of a strip, across); 30 ms."""
        across = max(SCENE_PX, min(picture.size)) if is_strip(picture.size) else max(picture.size)
        seen = self._finder.look(picture, _GLANCE_PX / across)
        return judge_glance(seen, map_size(picture.size, _first_scale(picture.size)))

    def read(self, picture: PillowImage.Image) -> tuple[Line, ...]:
        """All lines of an RGB picture, in reading order; those recognised with little certainty are left out.

        0.1 to 0.3 s for finding them, by size, and about 2 ms for each letter.
        """
        return self.read_up_to(picture, None).lines

    def read_up_to(self, picture: PillowImage.Image, most_lines: int | None, *, closely: bool = False) -> Reading:
        """Do the same, reading no more than so many pieces of text; closely, small print is looked for too."""
        quads = self.find(picture)
        if closely:
            quads = quads + self._small_print(picture, quads)
        return self.read_found(picture, quads, most_lines)

    def read_found(self, picture: PillowImage.Image, quads: Sequence[Quad], most_lines: int | None) -> Reading:
        """Read what stands in the places that `find` found."""
        held = TextLines(picture, self._recogniser, self._turn_judge)
        ordered = in_reading_order(held.upright(quads))
        chosen = ordered[:most_lines]
        read = [(quad, *held.read(quad)) for quad in chosen]
        lines = tuple(
            Line(text, float(np.interp(score, _SCORES, _RIGHT)), corners_of(quad, picture.size))
            for quad, text, score in read
            if is_legible(text, score)
        )
        share = sum(map(area_of, quads)) / (picture.width * picture.height)
        return Reading(lines, is_cut=len(ordered) > len(chosen), share=share)

    def find(self, picture: PillowImage.Image, glance: Glance | None = None) -> list[Quad]:
        """Where an RGB picture has text: all over it, or only where a glance at it saw some; 0.3 s a megapixel."""
        if min(picture.size) < _LEAST_SIDE_PX:
            return []
        if glance is not None and not glance.areas:
            return list(glance.large)
        seen = self._finder.look(picture, _first_scale(picture.size), glance.areas if glance else None)
        give_memory_back(MOST_HELD_BYTES)
        return [*seen.quads(), *(glance.large if glance else ())]

    def _small_print(self, picture: PillowImage.Image, known: Sequence[Quad]) -> list[Quad]:
        """Find what the first look missed because it was brought down."""
        scale = min(1.0, _LOOK_PX / max(picture.size))
        if scale <= _first_scale(picture.size) or min(picture.size) < _LEAST_SIDE_PX:
            return []
        found = self._finder.look(picture, scale).quads()
        give_memory_back(MOST_HELD_BYTES)
        return [quad for quad in found if not any(_covers(other, quad) for other in known)]


def _covers(one: Quad, other: Quad) -> bool:
    """Whether the middle of one lies in the other, as boxes upright."""
    middle = other.mean(axis=0)
    return bool((one.min(axis=0) <= middle).all() and (middle <= one.max(axis=0)).all())


def is_strip(size: tuple[int, int]) -> bool:
    """Whether a picture is so long that its shorter side tells how large its letters are."""
    return max(size) > SCENE_PX and max(size) >= _STRIP_FROM * min(size)


def _first_scale(size: tuple[int, int]) -> float:
    """How a picture is brought down for the first look at it."""
    if is_strip(size):
        return min(1.0, _LOOK_PX / min(size), math.sqrt(_STRIP_PIXELS / (size[0] * size[1])))
    return min(1.0, _LOOK_PX / max(size), math.sqrt(_LOOK_PIXELS / (size[0] * size[1])))


def gains_by_closer_look(image: Image) -> bool:
    """Whether `closer_look` would give other pixels than the scene's."""
    longest = max(image.width, image.height)
    return longest > SCENE_PX or longest < _ENLARGED_BELOW_PX


def closer_look(image: Image) -> PillowImage.Image:
    """Make the pixels to read small print from: up to 2,000 on the longest side, doubled where the image is small.

    Of a strip up to 8 million, and 1,280 across. Raises ItemError as `Image.reduced` does.
    """
    size = image.upright_size
    picture = image.reduced(math.ceil(max(size) * _first_scale(size)) if is_strip(size) else _CLOSE_PX)
    if max(picture.size) >= _ENLARGED_BELOW_PX:
        return picture
    return picture.resize((picture.width * 2, picture.height * 2), PillowImage.Resampling.BICUBIC)


def _model(name: str) -> Path:
    """Find a model in RapidOCR's wheel, whose code isn't imported: it takes 30 MB and a second."""
    package = importlib.util.find_spec("rapidocr")
    path = Path((package and package.origin) or "").with_name("models") / name
    if not path.is_file():
        raise FileNotFoundError(
            f"rapidocr {metadata.version('rapidocr')} has no {name} in {path.parent}; install rapidocr>=3.10"
        )
    return path
