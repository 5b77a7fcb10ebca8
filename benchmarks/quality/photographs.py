"""Photographs that installed packages carry, and what they show."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib as mpl
import skimage
import sklearn
from PIL import Image

_SKIMAGE = Path(skimage.__file__).parent / "data"
_SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
_MATPLOTLIB = Path(mpl.get_data_path()) / "sample_data"

# What each shows: its subject in words that `verify` knows, then what else is in it.
_SHOWN: dict[Path, tuple[tuple[str, ...], tuple[str, ...]]] = {
    _SKIMAGE / "astronaut.png": (("person",), ("space shuttle",)),
    _SKIMAGE / "brick.png": ((), ()),
    _SKIMAGE / "camera.png": (("person", "tripod"), ("camera", "building")),
    _SKIMAGE / "chelsea.png": (("cat", "tabby cat", "animal"), ()),
    _SKIMAGE / "clock_motion.png": (("clock", "wall clock"), ()),
    _SKIMAGE / "coffee.png": (("coffee", "drink"), ("cup", "spoon", "table")),
    _SKIMAGE / "coins.png": ((), ()),
    _SKIMAGE / "grass.png": ((), ()),
    _SKIMAGE / "gravel.png": ((), ()),
    _SKIMAGE / "hubble_deep_field.jpg": ((), ()),
    _SKIMAGE / "moon.png": ((), ()),
    _SKIMAGE / "motorcycle_left.png": (("motorcycle", "motorbike", "vehicle"), ("disc brake", "car wheel")),
    _SKIMAGE / "retina.jpg": ((), ()),
    _SKIMAGE / "rocket.jpg": ((), ()),
    _SKLEARN / "china.jpg": (("building", "palace"), ()),
    _SKLEARN / "flower.jpg": (("flower",), ()),
    _MATPLOTLIB / "grace_hopper.jpg": (("person", "military uniform"), ("hat", "necktie")),
}


@dataclass(frozen=True)
class Photograph:
    """One of them."""

    path: Path
    labels: tuple[str, ...]
    """Words for its subject."""
    unnamed: tuple[str, ...]
    """Words for what else is in it."""

    @cached_property
    def image(self) -> Image.Image:
        """Its pixels."""
        return Image.open(self.path).convert("RGB")

    @cached_property
    def data(self) -> bytes:
        """A JPEG of it."""
        return encoded(self.image)


def photographs() -> list[Photograph]:
    """All of them."""
    return [Photograph(path, *shown) for path, shown in _SHOWN.items()]


def encoded(image: Image.Image, image_format: str = "JPEG", **options: Any) -> bytes:
    """Write a file of the picture; as JPEG in good quality."""
    stream = io.BytesIO()
    image.save(stream, image_format, **({"quality": 90} if image_format == "JPEG" else {}) | options)
    return stream.getvalue()
