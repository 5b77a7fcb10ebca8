"""Whether a picture is a photograph, something drawn by a computer, or nothing at all."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

Medium = Literal["photograph", "graphic", "page", "blank", "unknown"]

_SIDE_PX = 640
# Of 378 photographs the flattest has 0.65 and four have more than 0.55; of 21 drawn charts, icons, test patterns and
# logos 16 have more than 0.75 and the others, two of them saved as lossy JPEG, lie between 0.55 and 0.68.
_GRAPHIC_FROM = 0.75
_PHOTOGRAPH_BELOW = 0.50
_BLANK_SPREAD = 3


def judge_medium(image: Image.Image) -> Literal["photograph", "graphic", "blank", "unknown"]:
    """Judge an RGB image by how often two neighbours are exactly alike: a camera's noise leaves few such pairs."""
    small = image.copy()
    small.thumbnail((_SIDE_PX, _SIDE_PX), Image.Resampling.BICUBIC)
    levels = [np.flatnonzero(channel.histogram()) for channel in small.split()]
    if max(int(it[-1] - it[0]) for it in levels) <= _BLANK_SPREAD:
        return "blank"
    if small.width < 2:
        return "unknown"
    # Each pixel as one number of four bytes: a tenth of the time of comparing three channels.
    pixels = np.asarray(small.convert("RGBX")).view(np.uint32)[:, :, 0]
    alike = float((pixels[:, 1:] == pixels[:, :-1]).mean())
    if alike >= _GRAPHIC_FROM:
        return "graphic"
    return "photograph" if alike < _PHOTOGRAPH_BELOW else "unknown"
