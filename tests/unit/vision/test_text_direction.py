"""Which way up lines of text stand, and the order in which they are read."""

from __future__ import annotations

import numpy as np
import pytest

from imagebatch_vision.describe.text_direction import in_reading_order, is_standing, turned
from imagebatch_vision.describe.text_map import Quad


def box(left: float, top: float, right: float, bottom: float) -> Quad:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float32)


def turned_page(quads: list[Quad], quarters: int) -> list[Quad]:
    """As they lie on a page of 1,000 by 1,000 pixels that was turned clockwise, the text's upper left corner first."""
    for _ in range(quarters):
        quads = [np.stack([1000 - quad[:, 1], quad[:, 0]], axis=1) for quad in quads]
    return quads


LINES = [box(10, 10, 500, 30), box(10, 44, 200, 64), box(230, 47, 480, 66), box(12, 80, 300, 100)]


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_lines_are_ordered_as_they_are_read_however_the_page_is_turned(quarters: int) -> None:
    lines = turned_page(LINES, quarters)

    ordered = in_reading_order([lines[it] for it in (2, 3, 0, 1)])

    assert [it.tolist() for it in ordered] == [it.tolist() for it in lines]


def test_boxes_of_no_line_have_no_order() -> None:
    assert in_reading_order([]) == []


def test_a_line_that_is_higher_than_wide_stands() -> None:
    assert is_standing(box(0, 0, 20, 200))
    assert not is_standing(box(0, 0, 200, 20))
    assert not is_standing(box(0, 0, 20, 20)), "which may be one character"


def test_corners_are_named_from_the_one_where_the_text_begins() -> None:
    upside_down = turned(box(0, 0, 200, 20), 2)

    assert upside_down[0].tolist() == [200, 20]
    assert upside_down[1].tolist() == [0, 20]
