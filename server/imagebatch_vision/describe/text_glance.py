"""What a glance at a picture tells of text in it, seen so small that small letters are mere traces."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imagebatch_vision.describe.text_map import BOX_FROM, STEP_PX, Area, Core, Quad, TextMap

# Of 330 photographs 72 have legible lines. 59 of these have traces by the figures below, and 8 % of the others, where
# any likely pixels are in 49 %: mostly an animal or a thing that is taken, whole, for one large letter.
_TRACE_FROM = 0.3 * 255
_LEAST_TRACE_PX = 5
"""Its longer side."""
_LARGE_FROM_PX = 32
"""Letters that high are seen as well at a glance as they ever will be."""
_SECTION_SIDES = 2.5
_LARGE_FROM_SIDES = 1.5
"""A word is so many times as long as high; a thing that is taken for a letter mostly isn't."""


@dataclass(frozen=True)
class Glance:
    """What there is."""

    share: float
    """How much of the picture is likely text."""
    areas: Sequence[Area]
    """Of a map of the picture, those to look at closely for text."""
    large: Sequence[Quad]
    """Boxes of letters elsewhere, so large that it would show no more; in pixels of the picture."""


def judge_glance(seen: TextMap, size: tuple[int, int]) -> Glance:
    """Judge what was seen of a picture of which a map of that size would be made."""
    high, wide = seen.likelihood.shape
    by = np.array([size[0] / wide, size[1] / high])
    cores = list(seen.cores())
    traces = [np.array(it.middle) * by for it in cores if _is_trace(it)]
    areas = [area for area in _sections(size) if any(_holds(area, middle) for middle in traces)]
    large = [it for it in cores if _is_large(it) and not any(_holds(area, np.array(it.middle) * by) for area in areas)]
    return Glance(seen.share, areas, [seen.in_picture(it) for it in large])


def _is_trace(core: Core) -> bool:
    return core.mean >= _TRACE_FROM and min(core.size) < _LARGE_FROM_PX and max(core.size) >= _LEAST_TRACE_PX


def _is_large(core: Core) -> bool:
    least, most = sorted(core.size)
    return core.mean >= BOX_FROM and least >= _LARGE_FROM_PX and most >= _LARGE_FROM_SIDES * least


def _sections(size: tuple[int, int]) -> Iterator[Area]:
    """Cut a map along its longer side into parts that are no strips."""
    wide, high = size
    count = math.ceil(max(size) / (_SECTION_SIDES * min(size)))
    length = math.ceil(max(size) / count / STEP_PX) * STEP_PX
    for start in range(0, max(size), length):
        end = min(start + length, max(size))
        yield (start, 0, end, high) if wide > high else (0, start, wide, end)


def _holds(area: Area, middle: npt.NDArray[np.float64]) -> bool:
    return bool(area[0] <= middle[0] <= area[2] and area[1] <= middle[1] <= area[3])
