"""Where in a picture something is: shares of its width and height, so that they hold at every size it is shown in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_DIGITS = 4
"""A ten-thousandth: less than a pixel of most pictures."""


class Box(NamedTuple):
    """An upright box; each from 0, the left or upper edge of the upright image, to 1."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, edges: npt.NDArray[np.float32]) -> Box:
        """Make one of left, top, right, bottom as shares, what sticks out cut off."""
        return cls(*_rounded(edges))

    @property
    def area(self) -> float:
        """The share of the picture that it covers."""
        return max(self.right - self.left, 0.0) * max(self.bottom - self.top, 0.0)


Corners = tuple[tuple[float, float], ...]
"""Four points, x and y as in a box: clockwise from the upper left one, as the text is read."""


def corners_of(points: npt.NDArray[np.float32], size: tuple[int, int]) -> Corners:
    """Make them of four points in pixels of a picture of that width and height."""
    return tuple((x, y) for x, y in (_rounded(point / np.array(size, dtype=np.float32)) for point in points))


def _rounded(shares: npt.NDArray[np.float32]) -> list[float]:
    return [round(share, _DIGITS) for share in np.clip(shares, 0.0, 1.0).tolist()]
