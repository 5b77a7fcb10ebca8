"""Quality figures move with what they measure, and verdicts with them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from imagebatch_vision.describe.medium import judge_medium
from imagebatch_vision.describe.quality import measure


@pytest.fixture(scope="module")
def scene() -> Image.Image:
    """Something like a photograph: shapes of all sizes, edges, and a camera's noise."""
    random = np.random.default_rng(7)
    picture = random.normal(0.0, 3.0, (576, 768, 3))
    for side, weight in ((6, 0.5), (24, 0.3), (384, 0.2)):
        coarse = Image.fromarray(random.integers(0, 256, (side * 3 // 4, side, 3), dtype=np.uint8))
        picture += weight * np.asarray(coarse.resize((768, 576), Image.Resampling.NEAREST), dtype=np.float64)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def test_sharpness_falls_with_every_blur_and_a_strong_one_is_called_so(scene: Image.Image) -> None:
    pictures = [scene, *(scene.filter(ImageFilter.GaussianBlur(radius)) for radius in (1, 2, 4))]

    measures = [measure(picture, is_photograph=True) for picture in pictures]

    sharpness = [it.sharpness for it in measures]
    assert sharpness == sorted(sharpness, reverse=True)
    assert "blurred" not in measures[0].verdicts
    assert "blurred" in measures[-1].verdicts


def test_blur_along_one_axis_counts(scene: Image.Image) -> None:
    shaken = scene.resize((scene.width // 16, scene.height)).resize(scene.size)

    assert "blurred" in measure(shaken, is_photograph=True).verdicts


def test_brightness_and_contrast_are_mean_and_spread_of_luma() -> None:
    halves = Image.new("RGB", (200, 100), "black")
    halves.paste("white", (100, 0, 200, 100))

    measures = measure(halves, is_photograph=False)

    assert measures.brightness == pytest.approx(0.5, abs=0.01)
    assert measures.contrast == pytest.approx(0.5, abs=0.01)


def test_verdicts_name_what_stands_out(scene: Image.Image) -> None:
    assert measure(scene, is_photograph=True).verdicts == ()
    assert "dark" in measure(ImageEnhance.Brightness(scene).enhance(0.2), is_photograph=True).verdicts
    assert "overexposed" in measure(ImageEnhance.Brightness(scene).enhance(3.0), is_photograph=True).verdicts
    assert "low contrast" in measure(ImageEnhance.Contrast(scene).enhance(0.3), is_photograph=True).verdicts
    assert "small" in measure(scene.resize((100, 75)), is_photograph=True).verdicts


def test_a_drawing_is_neither_dark_nor_overexposed_nor_blurred() -> None:
    for ground in ("black", "white"):
        drawing = Image.new("RGB", (300, 300), ground)
        drawing.paste("grey", (0, 0, 300, 60))
        assert measure(drawing, is_photograph=False).verdicts == ()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (11, 11)])
def test_the_smallest_pictures_are_measured_too(size: tuple[int, int]) -> None:
    assert measure(Image.new("RGB", size, "red"), is_photograph=True).sharpness == 0.0


def test_a_cameras_noise_tells_a_photograph_from_a_drawing(scene: Image.Image) -> None:
    drawing = Image.new("RGB", (640, 480), "white")
    drawing.paste("navy", (50, 50, 400, 300))

    assert judge_medium(scene) == "photograph"
    assert judge_medium(drawing) == "graphic"
    assert judge_medium(Image.new("RGB", (640, 480), "navy")) == "blank"
    assert judge_medium(Image.new("RGB", (1, 1))) == "blank"
