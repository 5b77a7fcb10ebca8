"""What a glance tells of text: whether and where it is worth looking closely."""

from __future__ import annotations

import numpy as np

from imagebatch_vision.describe.text_glance import Glance, judge_glance
from imagebatch_vision.describe.text_map import TextMap

SCALE = 1 / 3


def glance(width: int, height: int, *blobs: tuple[int, int, int, int, int]) -> Glance:
    """Judge a map in which rectangles (left, top, right, bottom) have a likelihood."""
    likelihood = np.zeros((height, width), dtype=np.uint8)
    for left, top, right, bottom, value in blobs:
        likelihood[top:bottom, left:right] = value
    return judge_glance(TextMap(likelihood, (SCALE, SCALE)), (width * 3, height * 3))


def test_a_trace_of_small_letters_is_worth_a_look_at_the_whole() -> None:
    seen = glance(320, 224, (40, 40, 60, 44, 120))

    assert seen.areas == [(0, 0, 960, 672)]
    assert seen.large == []


def test_a_thing_taken_whole_for_a_letter_is_not() -> None:
    seen = glance(320, 224, (60, 40, 220, 180, 240))

    assert (seen.areas, seen.large) == ([], [])
    assert seen.share > 0.2


def test_specks_and_what_is_hardly_likely_are_not() -> None:
    assert glance(320, 224, (10, 10, 12, 12, 250), (50, 50, 80, 56, 60)).areas == []


def test_large_letters_are_found_by_the_glance_itself() -> None:
    seen = glance(320, 224, (30, 60, 290, 110, 230))

    assert seen.areas == []
    (quad,) = seen.large
    left, top = quad.min(axis=0)
    right, bottom = quad.max(axis=0)
    assert left < 30 * 3 < 290 * 3 < right + 3, "grown to the letters' edges"
    assert top < 60 * 3 < 110 * 3 < bottom


def test_of_a_strip_only_the_parts_with_traces_are_looked_at() -> None:
    seen = glance(320, 1792, (40, 1500, 200, 1506, 200))

    (area,) = seen.areas
    left, top, right, bottom = area
    assert (left, right) == (0, 960)
    assert top <= 1500 * 3 <= bottom
    assert bottom - top <= 2.5 * 960
