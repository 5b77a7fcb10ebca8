"""Colour spaces that files name by numbers instead of a profile: PNG's gAMA, cHRM and cICP, AVIF's and HEIF's nclx.

What they mean for the picture is taken from Chromium 156, measured: where it departs from the letter of a standard,
pictures are made to be seen there.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from PIL import Image, ImageMath


class Chromaticities(NamedTuple):
    """White, red, green and blue, x and y of each, as PNG's cHRM has them."""

    white_x: float
    white_y: float
    red_x: float
    red_y: float
    green_x: float
    green_y: float
    blue_x: float
    blue_y: float


_D65 = (0.3127, 0.329)
SRGB = Chromaticities(*_D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_PRIMARIES = {  # by their numbers in ITU-T H.273
    1: SRGB,
    4: Chromaticities(0.31, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: Chromaticities(*_D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
    6: Chromaticities(*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: Chromaticities(*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: Chromaticities(*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    11: Chromaticities(0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: Chromaticities(*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    22: Chromaticities(*_D65, 0.63, 0.34, 0.295, 0.605, 0.155, 0.077),
}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
_VIDEO = (1, 6, 14, 15)
"""Transfers of television: a still picture that names one means sRGB's, but in a PNG a screen's of 2.4."""
_PQ, _HLG = 16, 18
_SRGB_GAMMA = 0.45455
_SAME_GAMMA = 0.05
"""A gamma within this share of sRGB's is taken for it."""


@dataclass(frozen=True)
class HighRange:
    """Colours of high dynamic range, by their numbers in H.273."""

    primaries: int
    transfer: int


def of_numbers(primaries: int, transfer: int, *, is_png: bool = False) -> bytes | HighRange | None:
    """Find what brings colours named by numbers into sRGB: a profile or tone mapping, None if none is needed."""
    place = _PRIMARIES.get(primaries, SRGB)
    if transfer in (_PQ, _HLG):
        return HighRange(primaries, transfer)
    gamma = 2.4 if is_png and transfer in _VIDEO else _GAMMAS.get(transfer)
    return None if gamma is None and place == SRGB else profile(place, gamma)


def of_gamma(gamma: float, place: Chromaticities | None) -> bytes | None:
    """Make a profile of a PNG's gAMA (the exponent of the file) and cHRM together; None if that is sRGB."""
    is_same = abs(gamma / _SRGB_GAMMA - 1) <= _SAME_GAMMA
    return None if (place is None and is_same) or not 0.01 <= gamma <= 100 else profile(place or SRGB, 1 / gamma)


@lru_cache(maxsize=64)
def profile(place: Chromaticities, gamma: float | None) -> bytes | None:
    """Make an ICC profile of these chromaticities, with sRGB's curve without a gamma; None if they span nothing."""
    try:
        columns = _to_d50(place)
    except (ZeroDivisionError, ValueError):
        return None
    parameters = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045) if gamma is None else (gamma,)
    curve = b"para" + bytes(4) + struct.pack(">HH", 3 if gamma is None else 0, 0) + _fixed(parameters)
    tags = [(b"wtpt", b"XYZ " + bytes(4) + _fixed(_D50))]
    for name, column in zip((b"r", b"g", b"b"), columns, strict=True):
        tags += [(name + b"XYZ", b"XYZ " + bytes(4) + _fixed(column)), (name + b"TRC", curve)]
    at = 128 + 4 + 12 * len(tags)
    table, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags:
        table += name + struct.pack(">II", at + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    head = struct.pack(">I4xI", at + len(bodies), 0x04300000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    return (head + _fixed(_D50)).ljust(128, b"\0") + table + bodies


_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
Matrix = Sequence[Sequence[float]]


def _fixed(values: Sequence[float]) -> bytes:
    if not all(abs(value) < 32_768 for value in values):
        raise ValueError("a number is out of range")
    return struct.pack(f">{len(values)}i", *(round(value * 65_536) for value in values))


def _to_xyz(place: Chromaticities) -> list[list[float]]:
    """Compute the matrix from linear RGB to XYZ, white being 1."""
    columns = [(place[at] / place[at + 1], 1.0, (1 - place[at] - place[at + 1]) / place[at + 1]) for at in (2, 4, 6)]
    rows = list(zip(*columns, strict=True))
    white = (place[0] / place[1], 1.0, (1 - place[0] - place[1]) / place[1])
    shares = _times_vector(_inverse(rows), white)
    return [[value * share for value, share in zip(row, shares, strict=True)] for row in rows]


def _to_d50(place: Chromaticities) -> list[tuple[float, ...]]:
    """XYZ of red, green and blue under D50, as profiles want them."""
    white = (place[0] / place[1], 1.0, (1 - place[0] - place[1]) / place[1])
    scales = [to / of for to, of in zip(_times_vector(_BRADFORD, _D50), _times_vector(_BRADFORD, white), strict=True)]
    scaled = [[value * scale for value in row] for row, scale in zip(_BRADFORD, scales, strict=True)]
    adapted = _times(_times(_inverse(_BRADFORD), scaled), _to_xyz(place))
    return list(zip(*adapted, strict=True))


def _times_vector(matrix: Matrix, vector: Sequence[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def _times(one: Matrix, other: Matrix) -> list[list[float]]:
    return [_times_vector(list(zip(*other, strict=True)), row) for row in one]


def _inverse(matrix: Matrix) -> list[list[float]]:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    cofactors = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    determinant = a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0]
    return [[value / determinant for value in row] for row in cofactors]


def tone_mapped(image: Image.Image, space: HighRange) -> Image.Image:
    """RGB or RGBA of high dynamic range, as it is shown on an ordinary screen."""
    shown = Image.new("RGB", image.size)
    for top in range(0, image.height, _STRIP_ROWS):  # in strips, for each takes tenfold its memory
        strip = image.crop((0, top, image.width, min(top + _STRIP_ROWS, image.height)))
        shown.paste(_strip(strip.convert("RGB"), space), (0, top))
    if image.mode == "RGBA":
        shown.putalpha(image.getchannel("A"))
    return shown


_STRIP_ROWS = 256
_WHITE_NITS, _PEAK_NITS = 203.0, 1000.0
_KNEE = ((1.0, 0.5), (1.65, 0.825), (_PEAK_NITS / _WHITE_NITS, 1.0))
"""Reference white is shown at half the light; above it a quadratic Bezier curve goes up to the peak."""
_LUMA_2020 = (0.2627, 0.678, 0.0593)
_LINEAR_TO = 0.0031308
"""Light up to which sRGB's curve is a line."""


def _strip(image: Image.Image, space: HighRange) -> Image.Image:
    of_transfer = _hlg if space.transfer == _HLG else _pq
    curve = [of_transfer(value / 255) for value in range(256)]
    light = [band.point(curve, "F") for band in image.split()]
    if space.transfer == _HLG:
        luma = _sum(light, _LUMA_2020)
        scale = _PEAK_NITS / _WHITE_NITS
        light = [_apply(lambda it: it["a"] * it["b"] ** 0.2 * scale, band, luma) for band in light]
    most = _apply(lambda it: it["max"](it["max"](it["a"], it["b"]), it["c"]), *light)
    gain = _apply(_gain, most)
    light = [_apply(lambda it: it["a"] * it["b"], band, gain) for band in light]
    to_srgb = _times(_inverse(_to_xyz(SRGB)), _to_xyz(_PRIMARIES.get(space.primaries, SRGB)))
    return Image.merge("RGB", [_apply(_encoded, _sum(light, row)).convert("L") for row in to_srgb])


def _apply(formula: Callable[[Mapping[str, Any]], Any], *bands: Image.Image) -> Image.Image:
    """Apply a formula to floating-point bands, which it knows as a, b and c."""
    made: Image.Image = ImageMath.lambda_eval(formula, **dict(zip("abc", bands, strict=False)))
    return made


def _sum(bands: Sequence[Image.Image], shares: Sequence[float]) -> Image.Image:
    one, two, three = shares
    return _apply(lambda it: it["a"] * one + it["b"] * two + it["c"] * three, *bands)


def _gain(it: Mapping[str, Any]) -> Any:
    """Compute what light is multiplied by, so that the largest of three is shown as the curve has it."""
    (x0, y0), (x1, y1), (x2, y2) = _KNEE
    a, b = x0 - 2 * x1 + x2, 2 * (x1 - x0)
    light = it["min"](it["max"](it["a"], x0), x2)
    t = ((light - x0) * (4 * a) + b * b) ** 0.5 * (1 / (2 * a)) - b / (2 * a)
    rest = t * -1.0 + 1.0
    above = rest * rest * y0 + t * rest * (2 * y1) + t * t * y2
    return above / it["max"](it["a"], x0)


def _encoded(it: Mapping[str, Any]) -> Any:
    """Compute the 8-bit value that sRGB has for light of 0 to 1."""
    light = it["min"](it["max"](it["a"], 0.0), 1.0)
    of_line = (light <= _LINEAR_TO) * (light * 12.92)
    of_curve = (light > _LINEAR_TO) * (light ** (1 / 2.4) * 1.055 - 0.055)
    return (of_line + of_curve) * 255.0 + 0.5


def _pq(value: float) -> float:
    """Light of a value coded by SMPTE ST 2084, reference white being 1."""
    power = value ** (1 / 78.84375)
    share = max(power - 0.8359375, 0.0) / (18.8515625 - 18.6875 * power)
    return float(10_000 * share ** (1 / 0.1593017578125) / _WHITE_NITS)


def _hlg(value: float) -> float:
    """Light of the scene of a value coded by hybrid log-gamma, 0 to 1."""
    if value <= 0.5:
        return value * value / 3
    return (math.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
