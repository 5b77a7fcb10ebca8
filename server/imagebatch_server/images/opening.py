"""Opens an image file with the decoder of its format, and says in the server's words what is wrong with one."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable

import PIL.AvifImagePlugin
import PIL.Image
from PIL import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError, UnsupportedPicture
from imagebatch_server.images import bmp, containers, gif, jpeg, png, psd, raw, tiff, webp
from imagebatch_server.images.core import Core
from imagebatch_server.images.formats import FORMATS, accepted
from imagebatch_server.images.header import looks_like, sniff
from imagebatch_server.images.unsupported import unsupported_feature

# Ours decides: Pillow's limit is one for the whole process, and no setting of a server.
PIL.Image.MAX_IMAGE_PIXELS = None
# What Pillow warns of is either the item's error or nobody's; each new text would also stay in memory for good.
warnings.filterwarnings("ignore", module=r"PIL\.")
# Workers are processes; threads of AVIF's decoder on top would fight for their cores.
PIL.AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_MAX_JPEG_SCANS = 200
"""Real progressive files have about ten; each costs a pass over all pixels however small it is."""
_OF_BOXES = ("avif", "heif", "jpeg2000", "jxl")


def format_of(data: bytes) -> str:
    """Tell the format of a file by its first bytes. Raises ItemError: UNSUPPORTED_FORMAT."""
    image_format = sniff(data)
    if image_format is None:
        raise _unsupported(data)
    if not FORMATS[image_format].is_readable:
        raise _not_installed(image_format)
    return image_format


def core_of(image_format: str, data: bytes) -> Core:
    """Find what of a file of that format makes the picture. Raises ItemError: UNSUPPORTED_FORMAT, TOO_LARGE."""
    if image_format == "jpeg":
        found = jpeg.walk(data)
        if found.scans > _MAX_JPEG_SCANS:
            raise ItemError(
                ItemErrorCode.TOO_LARGE,
                f"the JPEG has more than {_MAX_JPEG_SCANS} scans, which take long to decode; save it as baseline",
            )
        return jpeg.core(found)
    if image_format in _OF_BOXES:
        return containers.core(image_format, data)
    return _CORES[image_format](data)


_CORES: dict[str, Callable[[bytes], Core]] = {
    "png": png.core,
    "gif": gif.core,
    "webp": webp.core,
    "bmp": bmp.core,
    "tiff": tiff.core,
    "psd": psd.core,
    "raw": raw.core,
}


def open_core(core: Core, max_pixels: int, frame: int = 0) -> ImageFile.ImageFile:
    """Open a picture by its header, without its pixels. Raises ItemError, and whatever Pillow raises."""
    plugin = FORMATS[core.format].plugin
    assert plugin is not None  # noqa: S101 - a core is of a format that has a decoder
    opened = plugin(io.BytesIO(core.data))
    check_size(opened.size, max_pixels)  # again: a GIF's first frame may exceed its screen, a JPEG have two headers
    if frame:
        opened.seek(frame)
        check_size(opened.size, max_pixels)
    if isinstance(opened, TiffImageFile):
        if not tiff.is_read_in_planes(opened.tag_v2):
            raise ValueError("unknown mode of planes")
        check_size((opened.tag_v2.get(322, 1), opened.tag_v2.get(323, 1)), max_pixels)  # a tile is decoded whole
    if core.icc_profile is not None:
        opened.info["icc_profile"] = core.icc_profile
    if core.format == "png" and "transparency" in opened.info:
        opened.info["transparency"] = png.key_in_8_bits(opened.info["transparency"], depth=core.data[24])
    return opened


def check_size(size: tuple[int, int], max_pixels: int) -> None:
    """Raise ItemError for a size that is none or above the limit."""
    width, height = size
    if width < 1 or height < 1:
        raise ItemError(
            ItemErrorCode.DECODE_FAILED, f"the header states {width} x {height} pixels; save the image again"
        )
    if width * height > max_pixels:
        raise ItemError(
            ItemErrorCode.TOO_LARGE,
            f"{width} x {height} pixels are above the limit of {max_pixels:,}; send the image scaled down",
        )


def _not_installed(image_format: str) -> UnsupportedPicture:
    missing = FORMATS[image_format]
    return UnsupportedPicture(
        f"the content is {missing.words}, which this server reads once it has imagebatch[{missing.extra}] installed; "
        f"accepted are {accepted()}"
    )


def _unsupported(data: bytes) -> ItemError:
    if not data:
        return ItemError(ItemErrorCode.UNSUPPORTED_FORMAT, f"the file is empty; accepted are {accepted()}")
    seen = looks_like(data)
    message = f"the content looks like {seen.words}; accepted are {accepted()}"
    return UnsupportedPicture(message) if seen.is_picture else ItemError(ItemErrorCode.UNSUPPORTED_FORMAT, message)


class errors_of:  # noqa: N801 - reads as a function does; a generator would cost each file a microsecond more
    """Turn whatever decoding a file's core raises in the block into an ItemError."""

    def __init__(self, core: Core, file: bytes) -> None:
        self._core = core
        self._file = file

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, ItemError):
            raise _told(error, self._core, self._file) from error


def _told(error: Exception, core: Core, file: bytes) -> ItemError:
    """Say in the server's words what Pillow raised: its plug-ins raise nearly anything on damaged input."""
    if isinstance(error, MemoryError):
        return ItemError(
            ItemErrorCode.TOO_LARGE, "decoding needs more memory than a worker has; send the image scaled down"
        )
    name, reason = core.format.upper(), _reason(error)
    feature = unsupported_feature(core.format, file, reason)
    if feature is not None:
        return UnsupportedPicture(
            f"the {name} has {feature}, which is not read here; save it as an ordinary {name}, or as PNG or JPEG"
        )
    return ItemError(
        ItemErrorCode.DECODE_FAILED,
        f"the {name} can't be decoded ({reason}); check that it is whole and save it again",
    )


def _reason(error: Exception) -> str:
    inner = error.args[0] if isinstance(error, SyntaxError) and error.args else error  # Pillow wraps some
    if isinstance(inner, _OF_DAMAGE):
        return "its structure contradicts itself or ends early"  # Python's words for that help nobody
    return (str(error).strip().replace("\n", " ") or type(error).__name__)[:200]


_OF_DAMAGE = (struct.error, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, UnicodeError)
