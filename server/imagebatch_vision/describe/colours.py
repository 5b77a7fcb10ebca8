"""The colours of a picture, by the names people give them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Lab = npt.NDArray[np.float64]

_SIDE_PX = 64
_MOST_COLOURS = 5
_LEAST_SHARE = 0.05
_GREY_CHROMA = 4.0

# Several anchors for one name where people use it widely; a pixel takes the name of the nearest anchor in CIELAB.
_ANCHORS: tuple[tuple[str, str], ...] = (
    ("black", "#000000"), ("black", "#161616"), ("dark grey", "#3f3f3f"), ("grey", "#808080"), ("grey", "#666666"),
    ("light grey", "#b4b4b4"), ("light grey", "#d0d0d0"), ("white", "#ffffff"), ("white", "#f0f0f0"),
    ("red", "#e01b1b"), ("red", "#c0282d"), ("dark red", "#7a1218"), ("dark red", "#4a0d12"), ("pink", "#f4a6b8"),
    ("pink", "#e8639a"), ("pink", "#f7cdd3"), ("orange", "#f58220"), ("orange", "#e0661c"), ("orange", "#f9b26b"),
    ("brown", "#7b4a24"), ("brown", "#96613a"), ("brown", "#8a6d52"), ("dark brown", "#432a18"),
    ("dark brown", "#2a1b12"), ("light brown", "#b98e61"), ("beige", "#dcc7a1"), ("beige", "#efe3cd"),
    ("beige", "#cbb898"), ("yellow", "#f6d935"), ("yellow", "#fff06a"), ("yellow", "#d9b310"),
    ("olive green", "#7c7a35"), ("olive green", "#55552b"), ("green", "#3fa143"), ("green", "#66b032"),
    ("green", "#5f8a4c"), ("green", "#718e1a"), ("light green", "#a9d79a"), ("light green", "#b7e36b"),
    ("dark green", "#1e4d24"), ("dark green", "#233a1f"),
    ("turquoise", "#2fc4bf"), ("turquoise", "#8adcd6"), ("teal", "#137a7f"), ("blue", "#2457d6"), ("blue", "#3f7fc9"),
    ("blue", "#4d6fa3"), ("light blue", "#8fc3ee"), ("light blue", "#bcdcf3"), ("light blue", "#9db6d3"),
    ("dark blue", "#14256b"), ("dark blue", "#1c2b45"), ("dark blue", "#2b3f66"),
    ("dark blue", "#000080"), ("dark blue", "#00004d"), ("blue", "#0000ff"), ("blue", "#1414c8"), ("purple", "#7a35a5"),
    ("purple", "#4b2566"), ("purple", "#7d5a8c"), ("lavender", "#bfa6e0"), ("magenta", "#d42bc4"),
)  # fmt: skip


@dataclass(frozen=True)
class Colour:
    """One colour name and what share of the picture bears it."""

    name: str
    hex: str
    """The mean of the pixels of that name, `#rrggbb`."""
    share: float


@dataclass(frozen=True)
class Palette:
    """The colours that cover at least a twentieth of the picture each, largest first, at most five."""

    colours: tuple[Colour, ...]
    is_grey: bool
    """No pixel to speak of has any hue: a black-and-white picture, a scan without colour."""


def find_palette(image: Image.Image) -> Palette:
    """Name the colours of an RGB image; 2 ms."""
    small = image.copy()
    small.thumbnail((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.uint8).reshape(-1, 3)
    lab = to_lab(pixels)
    # The squared distance without the pixel's own square, which is the same to every anchor.
    nearest = (_ANCHORS_SQUARED - 2.0 * lab @ _ANCHORS_LAB.T).argmin(axis=1)
    names = _NAME_OF_ANCHOR[nearest]
    shares = np.bincount(names, minlength=len(_NAMES)) / len(names)
    chosen = [name for name in np.argsort(-shares, kind="stable")[:_MOST_COLOURS] if shares[name] >= _LEAST_SHARE]
    colours = tuple(
        Colour(_NAMES[name], _to_hex(pixels[names == name].mean(axis=0)), float(shares[name])) for name in chosen
    )
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    return Palette(colours, is_grey=bool(np.quantile(chroma, 0.99) < _GREY_CHROMA))


def to_lab(pixels: npt.NDArray[np.uint8]) -> Lab:
    """Convert sRGB rows (n, 3) to CIELAB under D65, in which distance is close to seen difference."""
    value = pixels.astype(np.float64) / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ / _WHITE
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = root[:, 0], root[:, 1], root[:, 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def _to_hex(rgb: npt.NDArray[np.float64]) -> str:
    red, green, blue = (round(float(value)) for value in rgb)
    return f"#{red:02x}{green:02x}{blue:02x}"


_TO_XYZ = np.array(
    [[0.4124564, 0.2126729, 0.0193339], [0.3575761, 0.7151522, 0.1191920], [0.1804375, 0.0721750, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_NAMES = tuple(dict.fromkeys(name for name, _ in _ANCHORS))
_NAME_OF_ANCHOR = np.array([_NAMES.index(name) for name, _ in _ANCHORS])
_ANCHORS_LAB = to_lab(np.array([list(bytes.fromhex(value[1:])) for _, value in _ANCHORS], dtype=np.uint8))
_ANCHORS_SQUARED = (_ANCHORS_LAB**2).sum(axis=1)
