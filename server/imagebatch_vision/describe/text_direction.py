"""Which way up lines of text stand, and the order in which they are read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from imagebatch_vision.describe.text_map import Quad

_STANDING_FROM = 1.5
"""A box so many times as high as wide holds a line that was turned by a quarter."""
_SAME_ROW = 0.5
"""Of the lower one's height: boxes whose middles are nearer than that are one row."""


def is_standing(quad: Quad) -> bool:
    """Whether a line's box is upright where its text can't be."""
    across, down = _sides(quad)
    return down >= _STANDING_FROM * across


def length_of(quad: Quad) -> float:
    """Measure the longer side."""
    return max(_sides(quad))


def area_of(quad: Quad) -> float:
    """Measure its area."""
    across, down = _sides(quad)
    return across * down


def turned(quad: Quad, quarters: int) -> Quad:
    """Name the corners anew for text that a number of clockwise quarter turns put there: its upper left one first."""
    return np.roll(quad, -quarters, axis=0)


def in_reading_order(quads: Sequence[Quad]) -> list[Quad]:
    """Order boxes row by row, as most of them are read; their first corners are the upper left ones of their text."""
    if not quads:
        return []
    middles = np.array([quad.mean(axis=0) for quad in quads])
    heights = np.array([np.linalg.norm(quad[3] - quad[0]) for quad in quads])
    along = _direction(quads)
    places = middles @ np.array([along, (-along[1], along[0])]).T  # along the text, and down its rows
    order = np.argsort(places[:, 1], kind="stable")
    rows, row = np.zeros(len(quads), dtype=int), 0
    for before, now in pairwise(order):
        row += bool(places[now, 1] - places[before, 1] >= _SAME_ROW * min(heights[before], heights[now]))
        rows[now] = row
    return [quads[it] for it in np.lexsort((places[:, 0], rows))]


def _direction(quads: Sequence[Quad]) -> tuple[float, float]:
    """Of most text, by its length: right, down, left or up."""
    total = np.sum([quad[1] - quad[0] for quad in quads], axis=0)
    if abs(total[0]) >= abs(total[1]):
        return (1.0, 0.0) if total[0] >= 0 else (-1.0, 0.0)
    return (0.0, 1.0) if total[1] >= 0 else (0.0, -1.0)


def _sides(quad: Quad) -> tuple[float, float]:
    return float(np.linalg.norm(quad[1] - quad[0])), float(np.linalg.norm(quad[3] - quad[0]))
