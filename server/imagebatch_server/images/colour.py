"""Any pixels that Pillow decodes, as 8-bit RGB that looks as the picture is meant to look."""

from __future__ import annotations

import io
import math
from functools import lru_cache

from PIL import Image, ImageChops, ImageCms

_WHITE = (255, 255, 255)
_STRIP_ROWS = 512
_ROUNDING = 2
"""What 8-bit values may change by in an sRGB profile: its curves are tables of numbers, rounded."""


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB of a loaded image: as `to_rgb_or_rgba`, with alpha on white. Raises ValueError as that does."""
    shown = to_rgb_or_rgba(image)
    return _on_white(shown) if shown.mode == "RGBA" else shown


def to_rgb_or_rgba(image: Image.Image) -> Image.Image:
    """RGB of a loaded image, RGBA where it has transparency: CMYK and colour profiles converted, deeper greys scaled
    to 8 bits.

    Raises ValueError for a mode or for values that have no RGB.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return _grey(image).convert("RGB")
    if image.has_transparency_data and image.mode != "RGBA":
        image = image.convert("RGBA")
    elif image.mode == "P":
        image = image.convert("RGB")
    elif image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Pillow takes every CMYK JPEG for Adobe's, which are stored inverted.
        image = ImageChops.invert(image)
    if image.mode in ("RGB", "RGBA", "CMYK"):
        image = _in_srgb(image)
    return image if image.mode in ("RGB", "RGBA") else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    flat = Image.new("RGB", image.size, _WHITE)
    for top in range(0, image.height, _STRIP_ROWS):  # in strips, or a large picture would be in memory four times
        strip = image.crop((0, top, image.width, min(top + _STRIP_ROWS, image.height)))
        flat.paste(strip, (0, top), strip)
    return flat


def _grey(image: Image.Image) -> Image.Image:
    wide = image if image.mode in ("I;16", "I", "F") else image.convert("I")
    low, high = _range(image, wide)
    scale = 255 / (high - low) if high > low else 0.0
    grey = wide.point(lambda value: value * scale - low * scale).convert("L")
    return ImageChops.invert(grey) if _tiff_tag(image, 262) == 0 else grey  # 0: the least value is white


def _range(image: Image.Image, wide: Image.Image) -> tuple[float, float]:
    if image.mode.startswith("I;16"):
        bits = _tiff_tag(image, 258) or 16
        return 0, (1 << bits) - 1
    low, high = (float(value) for value in wide.getextrema())  # type: ignore[arg-type]  # of one band
    if not math.isfinite(high - low):
        raise ValueError("the pixels hold values that are no finite numbers")
    for top in (1.0, 255.0):  # what floating-point images agree on; anything else is data, shown from least to most
        if image.mode == "F" and low >= 0 and high <= top:
            return 0, top
    return low, high


def _tiff_tag(image: Image.Image, tag: int) -> int | None:
    tags = getattr(image, "tag_v2", None)
    value = None if tags is None else tags.get(tag)
    return value[0] if isinstance(value, tuple) else value


def _in_srgb(image: Image.Image) -> Image.Image:
    profile_bytes = image.info.get("icc_profile")
    if not profile_bytes:
        return image
    try:
        if image.mode != "CMYK" and _is_srgb(profile_bytes):
            return image
        return _converted(image, profile_bytes)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a profile that is damaged or for other colours; browsers ignore those too


@lru_cache(maxsize=64)
def _is_srgb(profile_bytes: bytes) -> bool:
    """Whether a profile, whatever its name, leaves colours as they are. Nearly all do, and converting takes longer."""
    converted = _converted(_PROBE, profile_bytes)
    changes = ImageChops.difference(_PROBE, converted).getextrema()
    return max(high for _, high in changes) <= _ROUNDING  # type: ignore[misc]  # of several bands


def _converted(image: Image.Image, profile_bytes: bytes) -> Image.Image:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_bytes))
    mode = "RGB" if image.mode == "CMYK" else image.mode
    converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode=mode)
    return image if converted is None else converted


def _probe() -> Image.Image:
    levels = range(0, 256, 17)
    colours = [bytes((red, green, blue)) for red in levels for green in levels for blue in levels]
    return Image.frombytes("RGB", (len(levels), len(levels) ** 2), b"".join(colours))


_PROBE = _probe()
"""Colours from all over RGB."""
