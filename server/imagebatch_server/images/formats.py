"""The image formats that are read: what each is called, and what decodes it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from PIL import ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PsdImagePlugin import PsdImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

Plugin = Callable[[io.BytesIO], ImageFile.ImageFile]


@dataclass(frozen=True)
class Format:
    """One format; its name is what outputs say."""

    name: str
    words: str
    plugin: Plugin | None = None
    """Called by name, so no other of Pillow's can be reached: neither the lenient ones nor Ghostscript's."""
    module: str | None = None
    """What has to be installed besides."""
    extra: str | None = None
    """Of this distribution, that brings it."""

    @property
    def is_readable(self) -> bool:
        return self.module is None or find_spec(self.module) is not None


def _heif(file: io.BytesIO) -> ImageFile.ImageFile:
    import pi_heif

    pi_heif.options.DECODE_THREADS = 1  # workers are processes; threads on top would fight for their cores
    opened: ImageFile.ImageFile = pi_heif.as_plugin.HeifImageFile(file)
    return opened


def _jxl(file: io.BytesIO) -> ImageFile.ImageFile:
    from imagebatch_server.images.jxl import JxlImageFile

    return JxlImageFile(file)


FORMATS = {
    it.name: it
    for it in (
        Format("jpeg", "JPEG", JpegImageFile),
        Format("png", "PNG", PngImageFile),
        Format("webp", "WebP", WebPImageFile),
        Format("gif", "GIF", GifImageFile),
        Format("bmp", "BMP", BmpImageFile),
        Format("tiff", "TIFF", TiffImageFile),
        Format("avif", "AVIF", AvifImageFile),
        Format("jpeg2000", "JPEG 2000", Jpeg2KImageFile),
        Format("psd", "PSD", PsdImageFile),
        Format("raw", "cameras' raw files"),
        Format("heif", "HEIC", _heif, "pi_heif", "heif"),
        Format("jxl", "JPEG XL", _jxl, "pylibjxl", "jxl"),
    )
}


@cache
def readable() -> tuple[str, ...]:
    """List the names of the formats that are read here, in alphabetical order."""
    return tuple(sorted(name for name, it in FORMATS.items() if it.is_readable))


@cache
def accepted() -> str:
    """Put the same in words, for messages."""
    words = [it.words for it in FORMATS.values() if it.is_readable]
    return f"{', '.join(words[:-1])} and {words[-1]}"
