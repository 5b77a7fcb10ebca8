"""Where a picture has text: the finder's likelihood, pixel by pixel, looked at in tiles, and boxes around it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from imagebatch_vision.describe.sessions import open_session

STEP_PX = 32
"""The model takes sides that are multiples of it."""
_TILE_PIXELS = 400_000
"""Of a map, looked at at once: each million costs 280 MB meanwhile."""
_TILE_SIDE_PX = 1_024
_MARGIN_PX = 64
"""What a tile sees beyond its own part, so that text at its edge is seen as well as in its middle."""

# The model's own figures, from the settings that RapidOCR carries for it.
_TEXT_FROM = round(0.3 * 255)
BOX_FROM = 0.5 * 255
_UNCLIP = 1.6
"""A core is grown on each side by this share of its area, divided by its perimeter: it is what is learned of a text."""
_LEAST_CORE_PX = 3

Array = npt.NDArray[np.float32]
Quad = npt.NDArray[np.float32]
"""Four corners in pixels, clockwise from the upper left one."""
Area = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of a map, each a multiple of STEP_PX."""


class Core(NamedTuple):
    """A blob of likely text, as the least box around it; in pixels of a map."""

    middle: tuple[float, float]
    size: tuple[float, float]
    degrees: float
    mean: float
    """Of the likelihood within the box, 0 to 255."""

    def quad(self) -> Quad:
        """Grow it to the box of the text."""
        width, height = self.size
        grown = width * height * _UNCLIP / (width + height)
        return _clockwise(_corners(self.middle, (width + grown, height + grown), self.degrees))


@dataclass(frozen=True)
class TextMap:
    """What a look at a picture gave."""

    likelihood: npt.NDArray[np.uint8]
    """Of each of its pixels being text, 0 to 255; 0 where nothing was looked at."""
    scale: tuple[float, float]
    """Its pixels by those of the picture, across and down."""

    @property
    def share(self) -> float:
        """How much of it is likely text."""
        return float((self.likelihood > _TEXT_FROM).mean())

    def quads(self) -> list[Quad]:
        """Boxes around text, in pixels of the picture."""
        return [self.in_picture(core) for core in self.cores() if core.mean >= BOX_FROM]

    def in_picture(self, core: Core) -> Quad:
        """Put the box of a core's text into pixels of the picture."""
        return np.divide(core.quad(), self.scale, dtype=np.float32)

    def cores(self) -> Iterator[Core]:
        """Blobs of likely text, but for the least."""
        import cv2

        likely = cv2.dilate((self.likelihood > _TEXT_FROM).astype(np.uint8), np.ones((2, 2), dtype=np.uint8))
        outlines, nested = cv2.findContours(likely, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        for outline, (_, _, _, around) in zip(outlines, nested[0] if outlines else (), strict=True):
            if around >= 0:  # the edge of a hole
                continue
            (x, y), (width, height), degrees = cv2.minAreaRect(outline)
            if min(width, height) >= _LEAST_CORE_PX:
                mean = self._mean_within(_corners((x, y), (width, height), degrees))
                yield Core((x, y), (width, height), degrees, mean)

    def _mean_within(self, corners: Quad) -> float:
        import cv2

        high, wide = self.likelihood.shape
        left, top = np.clip(np.floor(corners.min(axis=0)), 0, (wide - 1, high - 1)).astype(int)
        right, bottom = np.clip(np.ceil(corners.max(axis=0)), 0, (wide - 1, high - 1)).astype(int) + 1
        inside = np.zeros((bottom - top, right - left), dtype=np.uint8)
        cv2.fillPoly(inside, [(corners - (left, top)).astype(np.int32)], 1)
        return float(cv2.mean(self.likelihood[top:bottom, left:right], inside)[0])


class TextFinder:
    """One loaded model; not for use by several threads at once."""

    def __init__(self, model: Path) -> None:
        self._session = open_session(model)
        self._input: str = self._session.get_inputs()[0].name

    def look(self, picture: Image.Image, scale: float, areas: Sequence[Area] | None = None) -> TextMap:
        """Look at an RGB picture brought to `scale`, all of it or in some areas of the map only."""
        wide, high = map_size(picture.size, scale)
        by = wide / picture.width, high / picture.height
        likelihood = np.zeros((high, wide), dtype=np.uint8)
        for area in [(0, 0, wide, high)] if areas is None else areas:
            for left, top, right, bottom in _parts(area):
                x, y = max(0, left - _MARGIN_PX), max(0, top - _MARGIN_PX)
                seen = x, y, min(wide, right + _MARGIN_PX), min(high, bottom + _MARGIN_PX)
                tile = self._likelihood(picture, seen, by)
                likelihood[top:bottom, left:right] = tile[top - y : bottom - y, left - x : right - x]
        return TextMap(likelihood, by)

    def _likelihood(self, picture: Image.Image, seen: Area, by: tuple[float, float]) -> npt.NDArray[np.uint8]:
        left, top, right, bottom = seen
        box = left / by[0], top / by[1], min(picture.width, right / by[0]), min(picture.height, bottom / by[1])
        pixels = picture.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box, reducing_gap=1.0)
        blue_green_red = np.asarray(pixels)[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32)
        blue_green_red *= 1 / 127.5
        blue_green_red -= 1.0
        likelihood: Array = self._session.run(None, {self._input: np.ascontiguousarray(blue_green_red)})[0][0, 0]
        levels: npt.NDArray[np.uint8] = np.rint(likelihood * 255).astype(np.uint8)
        return levels


def map_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Tell the width and height of the map of a picture of that size."""
    wide, high = (max(STEP_PX, round(side * scale / STEP_PX) * STEP_PX) for side in size)
    return wide, high


def _parts(area: Area) -> Iterator[Area]:
    """Cut an area into parts that can be looked at at once, row by row."""
    left, top, right, bottom = area
    columns = math.ceil((right - left) / _TILE_SIDE_PX)
    across = _stepped((right - left) / columns)
    rows = math.ceil((bottom - top) * across / _TILE_PIXELS)
    down = _stepped((bottom - top) / rows)
    for y in range(top, bottom, down):
        for x in range(left, right, across):
            yield x, y, min(right, x + across), min(bottom, y + down)


def _stepped(length: float) -> int:
    return math.ceil(length / STEP_PX) * STEP_PX


def _corners(middle: tuple[float, float], size: tuple[float, float], degrees: float) -> Quad:
    import cv2

    return np.asarray(cv2.boxPoints((middle, size, degrees)), dtype=np.float32)


def _clockwise(corners: Quad) -> Quad:
    """Put four corners in order: the upper one of the two leftmost first."""
    first, second, third, fourth = sorted(corners.tolist())
    upper_left, lower_left = sorted((first, second), key=lambda it: it[1])
    upper_right, lower_right = sorted((third, fourth), key=lambda it: it[1])
    return np.array([upper_left, upper_right, lower_right, lower_left], dtype=np.float32)
