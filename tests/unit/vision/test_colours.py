"""Colours get the names that people give them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from imagebatch_vision.describe.colours import find_palette, to_lab


@pytest.mark.parametrize(
    ("hex_value", "name"),
    [
        ("#000000", "black"),
        ("#ffffff", "white"),
        ("#777777", "grey"),
        ("#ff0000", "red"),
        ("#00a000", "green"),
        ("#0000ff", "blue"),
        ("#87ceeb", "light blue"),
        ("#000060", "dark blue"),
        ("#000080", "dark blue"),
        ("#ffff00", "yellow"),
        ("#ff8c00", "orange"),
        ("#8b4513", "brown"),
        ("#ffc0cb", "pink"),
        ("#800080", "purple"),
        ("#f5f5dc", "beige"),
        ("#0b3d0b", "dark green"),
    ],
)
def test_a_plain_colour_gets_its_everyday_name(hex_value: str, name: str) -> None:
    (colour,) = find_palette(Image.new("RGB", (50, 40), hex_value)).colours

    assert (colour.name, colour.hex, colour.share) == (name, hex_value, 1.0)


def test_shares_are_those_of_the_area_and_the_largest_comes_first() -> None:
    picture = Image.new("RGB", (400, 100), "white")
    picture.paste("red", (0, 0, 100, 100))

    colours = find_palette(picture).colours

    assert [colour.name for colour in colours] == ["white", "red"]
    assert [colour.share for colour in colours] == pytest.approx([0.75, 0.25], abs=0.02)


def test_what_covers_less_than_a_twentieth_is_left_out() -> None:
    picture = Image.new("RGB", (200, 200), "blue")
    picture.paste("yellow", (0, 0, 20, 20))

    assert [colour.name for colour in find_palette(picture).colours] == ["blue"]


def test_only_a_picture_without_hue_is_grey() -> None:
    ramp = Image.linear_gradient("L").convert("RGB")
    assert find_palette(ramp).is_grey

    ramp.paste("red", (0, 0, 64, 64))
    assert not find_palette(ramp).is_grey


def test_lab_agrees_with_published_values() -> None:
    lab = to_lab(np.array([[255, 255, 255], [255, 0, 0], [0, 0, 255]], dtype=np.uint8))

    assert lab == pytest.approx(np.array([[100.0, 0.0, 0.0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]]), abs=0.05)
