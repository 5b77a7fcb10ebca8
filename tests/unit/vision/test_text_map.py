"""A map of a picture's text, looked at in tiles, and the boxes in it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagebatch_vision.describe import text_map
from imagebatch_vision.describe.text_map import TextFinder, TextMap


class Whiteness:
    """A model that takes what is white for text, and remembers how much it looked at at once."""

    def __init__(self) -> None:
        self.seen_pixels: list[int] = []

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="x")]

    def run(self, _outputs: None, inputs: dict[str, Any]) -> list[Any]:
        (planes,) = inputs.values()
        self.seen_pixels.append(planes.shape[2] * planes.shape[3])
        return [(planes.mean(axis=1, keepdims=True) + 1) / 2]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Whiteness:
    model = Whiteness()
    monkeypatch.setattr(text_map, "open_session", lambda _path: model)
    return model


def test_tiles_join_without_a_seam(model: Whiteness, tmp_path: Any) -> None:
    stripe = Image.new("RGB", (3000, 2000))
    stripe.paste("white", (100, 40, 120, 1990))
    stripe.paste("white", (30, 900, 2980, 930))

    seen = TextFinder(tmp_path).look(stripe, 1.0)

    alone = np.asarray(stripe.resize(seen.likelihood.shape[::-1], Image.Resampling.BILINEAR).convert("L"))
    assert np.abs(seen.likelihood.astype(int) - alone.astype(int)).max() <= 3
    assert len(model.seen_pixels) > 10
    assert max(model.seen_pixels) < 800_000


def test_only_the_areas_asked_for_are_looked_at(model: Whiteness, tmp_path: Any) -> None:
    seen = TextFinder(tmp_path).look(Image.new("RGB", (640, 640), "white"), 1.0, [(64, 96, 320, 192)])

    assert seen.likelihood[96:192, 64:320].min() == 255
    assert (seen.likelihood > 0).sum() == 96 * 256
    assert len(model.seen_pixels) == 1


def test_boxes_are_in_pixels_of_the_picture_and_grown_around_the_core() -> None:
    likelihood = np.zeros((320, 320), dtype=np.uint8)
    likelihood[100:110, 50:250] = 240
    likelihood[200:210, 50:250] = 100  # too unlikely

    (quad,) = TextMap(likelihood, (0.5, 0.25)).quads()

    left, top = quad[0]
    right, bottom = quad[2]
    assert 60 < left < 100 and 500 < right < 530  # noqa: PT018
    assert 360 < top < 400 and 440 < bottom < 480  # noqa: PT018
    assert quad[1].tolist() == pytest.approx([right, top])
