"""Exposure of pictures whose medium is known, and of those whose is not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from imagebatch_vision.describe.medium import Medium
from imagebatch_vision.verify.output import Verdict
from imagebatch_vision.verify.pixel_checks import check_exposure


def noise(low: int, high: int, white_share: float = 0.0) -> Image.Image:
    """Random greys, below so much of white."""
    pixels = np.random.default_rng(7).integers(low, high, (100, 100), dtype=np.uint8)
    pixels[: round(100 * white_share)] = 255
    return Image.fromarray(pixels).convert("RGB")


@pytest.mark.parametrize(
    ("scene", "medium", "verdict"),
    [
        (noise(40, 200), "photograph", "supported"),
        (noise(40, 200), "unknown", "supported"),
        (noise(40, 200, white_share=0.3), "unknown", "supported"),
        (noise(0, 30), "photograph", "contradicted"),
        (noise(0, 30), "unknown", "contradicted"),
        (noise(40, 200, white_share=0.8), "photograph", "contradicted"),
        (noise(40, 200, white_share=0.8), "unknown", "cannot_tell"),  # a product on white, or burnt out
        (noise(40, 200, white_share=0.99), "unknown", "cannot_tell"),
        (noise(0, 30), "graphic", "cannot_tell"),
    ],
)
def test_white_counts_as_burnt_out_only_in_what_is_a_photograph(
    scene: Image.Image, medium: Medium, verdict: Verdict
) -> None:
    assert check_exposure(scene, medium, min_highlight=0.4, max_white_share=0.4).verdict == verdict
