"""Any pixels that Pillow decodes, as 8-bit RGB that looks as the picture is meant to look."""

from __future__ import annotations

import io
import math
from functools import lru_cache

from PIL import Image, ImageChops, ImageCms, ImageMath

from imagebatch_server.images.colour_spaces import HighRange, tone_mapped

_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_NEARLY_WHITE = 246
_STRIP_ROWS = 512
_ROUNDING = 2
"""What 8-bit values may change by in an sRGB profile: its curves are tables of numbers, rounded."""


def to_rgb_or_rgba(image: Image.Image, space: HighRange | None = None) -> Image.Image:
    """Convert a loaded image to RGB, or to RGBA where it has transparency.

    CMYK and colour profiles are converted, deeper greys scaled to 8 bits, high dynamic range brought into that of an
    ordinary screen. Raises ValueError for a mode or for values that have no RGB.
    """
    if image.mode.startswith("I") or image.mode == "F":
        image = _grey(image)
    elif image.has_transparency_data and image.mode not in ("RGBA", "LA"):
        image = image.convert("LA" if image.mode in ("La", "L", "1") else "RGBA")
    elif image.mode == "P":
        image = image.convert("RGB")
    elif image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Pillow takes every CMYK JPEG for Adobe's, which are stored inverted.
        image = ImageChops.invert(image)
    elif image.mode == "1" and image.format == "PSD":
        image = ImageChops.invert(image)  # Photoshop's bits are ink, and Pillow takes them for light
    if _has_idle_alpha(image):
        image = image.convert("RGB")
    if space is not None:
        return tone_mapped(image if image.mode == "RGBA" else image.convert("RGB"), space)
    image = _in_srgb(image)
    if image.mode in ("RGB", "RGBA"):
        return image
    return image.convert("RGBA" if image.mode == "LA" else "RGB")


def flattened(shown: Image.Image) -> Image.Image:
    """RGB of an RGB or RGBA image: alpha on white, or on black where the picture would vanish on white."""
    if shown.mode != "RGBA":
        return shown
    flat = on_background(shown, _WHITE)
    return on_background(shown, _BLACK) if _is_white(flat) and _is_shaped(shown) else flat


def on_background(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """RGB of an RGBA image on an even ground."""
    flat = Image.new("RGB", image.size, colour)
    for top in range(0, image.height, _STRIP_ROWS):  # in strips, or a large picture would be in memory four times
        strip = image.crop((0, top, image.width, min(top + _STRIP_ROWS, image.height)))
        flat.paste(strip, (0, top), strip)
    return flat


def _is_white(flat: Image.Image) -> bool:
    """Whether nothing of an RGB image stands out from white."""
    return all(low >= _NEARLY_WHITE for low, _ in flat.getextrema())  # type: ignore[misc]  # of several bands


def _is_shaped(shown: Image.Image) -> bool:
    """Whether an RGBA image is clear in one place and not in another."""
    low, high = shown.getchannel("A").getextrema()
    return low != high


def _has_idle_alpha(image: Image.Image) -> bool:
    """Whether its alpha is zero all over in a format where that means that nobody wrote any."""
    is_idle = image.mode == "RGBA" and image.format in ("BMP", "PSD")
    return is_idle and image.getchannel("A").getextrema() == (0, 0)


def _grey(image: Image.Image) -> Image.Image:
    """L of deeper greys, LA where one of them stands for transparency."""
    wide = image if image.mode in ("I;16", "I", "F") else image.convert("I")
    if image.mode == "I" and _tiff_tag(image, 258) == 32 and _tiff_tag(image, 339) in (None, 1):
        wide = _unsigned(wide)
    low, high = _range(image, wide)
    scale = 255 / (high - low) if high > low else 0.0
    grey = wide.point(lambda value: value * scale - low * scale).convert("L")
    if _tiff_tag(image, 262) == 0:  # the least value is white
        grey = ImageChops.invert(grey)
    key = image.info.get("transparency")
    if isinstance(key, int) and image.mode.startswith("I;16"):
        table = [0 if value == key else 255 for value in range(65_536)]
        grey = Image.merge("LA", (grey, wide.convert("I").point(table, "L")))
    grey.info = {name: image.info[name] for name in ("icc_profile",) if name in image.info}
    return grey


def _unsigned(image: Image.Image) -> Image.Image:
    """32-bit values that Pillow takes for signed, as floating-point ones."""
    made: Image.Image = ImageMath.lambda_eval(
        lambda it: it["float"](it["a"]) + (it["a"] < 0) * 4_294_967_296.0, a=image
    )
    return made


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
    if not profile_bytes or image.mode not in ("1", "L", "LA", "RGB", "RGBA", "CMYK"):
        return image
    space = profile_bytes[16:20]
    if image.mode in ("1", "L", "LA") and space == b"GRAY":
        return _grey_in_srgb(image, profile_bytes)
    if (space == b"CMYK") != (image.mode == "CMYK"):
        return image  # it is for other colours; browsers ignore it too
    if image.mode in ("1", "L", "LA"):
        image = _like(image, image.convert("RGBA" if image.mode == "LA" else "RGB"))
    try:
        if image.mode != "CMYK" and _is_srgb(profile_bytes):
            return image
        return _converted(image, profile_bytes, "RGB" if image.mode == "CMYK" else image.mode)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a profile that is damaged; browsers ignore those too


def _grey_in_srgb(image: Image.Image, profile_bytes: bytes) -> Image.Image:
    try:
        table = _grey_table(profile_bytes)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    grey = (image.getchannel("L") if image.mode == "LA" else image.convert("L")).point(table)
    return Image.merge("LA", (grey, image.getchannel("A"))) if image.mode == "LA" else grey


@lru_cache(maxsize=64)
def _grey_table(profile_bytes: bytes) -> list[int]:
    """Compute what each of the 256 greys becomes."""
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    return list(_converted(ramp, profile_bytes, "RGB").getchannel("G").tobytes())


def _like(image: Image.Image, converted: Image.Image) -> Image.Image:
    converted.info = image.info
    return converted


@lru_cache(maxsize=64)
def _is_srgb(profile_bytes: bytes) -> bool:
    """Whether a profile, whatever its name, leaves colours as they are. Nearly all do, and converting takes longer."""
    converted = _converted(_PROBE, profile_bytes, "RGB")
    changes = ImageChops.difference(_PROBE, converted).getextrema()
    return max(high for _, high in changes) <= _ROUNDING  # type: ignore[misc]  # of several bands


def _converted(image: Image.Image, profile_bytes: bytes, mode: str) -> Image.Image:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_bytes))
    converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode=mode)
    return image if converted is None else converted


def _probe() -> Image.Image:
    levels = range(0, 256, 17)
    colours = [bytes((red, green, blue)) for red in levels for green in levels for blue in levels]
    return Image.frombytes("RGB", (len(levels), len(levels) ** 2), b"".join(colours))


_PROBE = _probe()
"""Colours from all over RGB."""
