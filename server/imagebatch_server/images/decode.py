"""An image in memory, opened from bytes that nobody vouches for."""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import PIL.Image
from PIL import ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.colour import to_rgb, to_rgb_or_rgba
from imagebatch_server.images.exif import captured_at, exif_of, orientation
from imagebatch_server.images.frames import count_frames
from imagebatch_server.images.header import ACCEPTED, looks_like, sniff, stored_size

# Ours decides: Pillow's limit is one for the whole process, and no setting of a server.
PIL.Image.MAX_IMAGE_PIXELS = None
# What Pillow warns of is either the item's error or nobody's; each new text would also stay in memory for good.
warnings.filterwarnings("ignore", module=r"PIL\.")
# Workers are processes; threads of AVIF's decoder on top would fight for their cores.
PIL.AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_MAX_JPEG_SCANS = 200
"""Real progressive files have about ten; each costs a pass over all pixels however small it is."""

# Plug-ins are called by name, so no other of Pillow's can be reached: neither the lenient ones nor Ghostscript's.
_PLUGINS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "webp": WebPImageFile,
    "gif": GifImageFile,
    "bmp": BmpImageFile,
    "tiff": TiffImageFile,
    "avif": AvifImageFile,
}

_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
_LYING = (5, 6, 7, 8)


@dataclass(frozen=True, eq=False, repr=False)
class Image:
    """One image file and what its header says; pixels are decoded on first use."""

    data: bytes
    format: str
    """`jpeg`, `png`, `webp`, `gif`, `bmp`, `tiff` or `avif`; by content, never by name."""
    width: int
    """Pixels as stored, before EXIF rotation; so is `height`."""
    height: int
    frame_count: int
    """Frames of an animation, pages of a TIFF; counting stops at `frames.MAX_COUNTED`."""
    orientation: int
    """EXIF orientation, 1 to 8; 1 where the file says nothing usable."""
    captured_at: datetime | None
    """EXIF DateTimeOriginal; naive, because cameras don't say which zone they mean."""
    max_pixels: int

    @classmethod
    def open(cls, data: bytes, *, max_pixels: int = 100_000_000) -> Image:
        """Read the header only.

        Raises ItemError: UNSUPPORTED_FORMAT, TOO_LARGE (more than `max_pixels` pixels), DECODE_FAILED.
        """
        image_format = sniff(data)
        if image_format is None:
            raise _unsupported(data)
        size = stored_size(image_format, data)
        if size is not None:  # before Pillow sees the file, because it allocates a WebP's canvas on opening
            _check_size(size, max_pixels)
        if image_format == "jpeg" and data.count(b"\xff\xda") > _MAX_JPEG_SCANS:
            raise ItemError(
                ItemErrorCode.TOO_LARGE,
                f"the JPEG has more than {_MAX_JPEG_SCANS} scans, which take long to decode; save it as baseline",
            )
        with _errors_of(image_format):
            opened = _open(image_format, data, max_pixels)
            exif = exif_of(opened, image_format, data)
            # Pillow turns a TIFF's size by its orientation, and no other format's.
            width, height = size if size is not None and image_format == "tiff" else opened.size
            return cls(
                data=data,
                format=image_format,
                width=width,
                height=height,
                frame_count=count_frames(image_format, data, lambda: getattr(opened, "n_frames", 1)),
                orientation=orientation(exif),
                captured_at=captured_at(exif),
                max_pixels=max_pixels,
            )

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height of `pixels`: as the image is shown, turned as EXIF says."""
        return (self.height, self.width) if self.orientation in _LYING else (self.width, self.height)

    @property
    def is_animated(self) -> bool:
        return self.frame_count > 1 and self.format != "tiff"

    @cached_property
    def sha256(self) -> str:
        """Of the file's bytes, 64 lower-case hex digits."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pixels(self) -> PIL.Image.Image:
        """The whole first frame: RGB, alpha on white, turned as EXIF says.

        Raises ItemError: DECODE_FAILED, TOO_LARGE.
        """
        with _errors_of(self.format):
            return self._upright(_open(self.format, self.data, self.max_pixels))

    def reduced(self, longest_side: int) -> PIL.Image.Image:
        """`pixels` with its longest side brought down to `longest_side` pixels; a smaller image keeps its size.

        Cheaper than `pixels` for a large JPEG, which is decoded at a fraction of its size. Not cached.
        Raises ItemError: DECODE_FAILED, TOO_LARGE.
        """
        factor = longest_side / max(self.width, self.height)
        if factor >= 1:
            return self.pixels
        width, height = (max(1, round(side * factor)) for side in self.upright_size)
        return self.resized((width, height))

    def resized(
        self,
        size: tuple[int, int],
        *,
        box: tuple[float, float, float, float] | None = None,
        keep_alpha: bool = False,
    ) -> PIL.Image.Image:
        """The part `box` of `pixels` (left, top, right, bottom; absent: all) at exactly `size` (width, height).

        With `keep_alpha` it is RGBA where the image has transparency. As cheap as `reduced`. Not cached.
        Raises ItemError: DECODE_FAILED, TOO_LARGE.
        """
        width, height = self.upright_size
        left, top, right, bottom = box or (0, 0, width, height)
        scale = max(size[0] / (right - left), size[1] / (bottom - top))
        with _errors_of(self.format):
            if "pixels" in self.__dict__ and not keep_alpha:
                whole = self.pixels
            else:
                opened = _open(self.format, self.data, self.max_pixels)
                # Twice the size asked for, so that the resampling below sees more than the decoder's coarse average.
                opened.draft(None, (math.ceil(self.width * scale * 2), math.ceil(self.height * scale * 2)))
                whole = self._upright(opened, keep_alpha=keep_alpha)
            across, down = whole.width / width, whole.height / height
            part = (left * across, top * down, min(right * across, whole.width), min(bottom * down, whole.height))
            return whole.resize(size, PIL.Image.Resampling.LANCZOS, part, reducing_gap=2.0)

    def _upright(self, opened: ImageFile.ImageFile, *, keep_alpha: bool = False) -> PIL.Image.Image:
        opened.load()
        shown = to_rgb_or_rgba(opened) if keep_alpha else to_rgb(opened)
        shown.info = {}  # whatever is made of it, and saved, is to carry nothing of the file but the picture
        turn = None if self.format == "tiff" else _TURNS.get(self.orientation)  # Pillow turns a TIFF itself
        return shown if turn is None else shown.transpose(turn)


def _open(image_format: str, data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    opened = _PLUGINS[image_format](io.BytesIO(data))
    _check_size(opened.size, max_pixels)  # again: a GIF's first frame may exceed its screen, a JPEG have two headers
    if isinstance(opened, TiffImageFile):
        _check_size((opened.tag_v2.get(322, 1), opened.tag_v2.get(323, 1)), max_pixels)  # a tile is decoded whole
    return opened


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
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


def _unsupported(data: bytes) -> ItemError:
    found = f"the content looks like {looks_like(data)}" if data else "the file is empty"
    return ItemError(ItemErrorCode.UNSUPPORTED_FORMAT, f"{found}; accepted are {ACCEPTED}")


@contextmanager
def _errors_of(image_format: str) -> Iterator[None]:
    try:
        yield
    except ItemError:
        raise
    except MemoryError as error:
        raise ItemError(
            ItemErrorCode.TOO_LARGE, "decoding needs more memory than a worker has; send the image scaled down"
        ) from error
    except Exception as error:  # Pillow's plug-ins raise nearly anything on damaged input
        raise ItemError(
            ItemErrorCode.DECODE_FAILED,
            f"the {image_format.upper()} can't be decoded ({_reason(error)}); check that it is whole and save it again",
        ) from error


def _reason(error: Exception) -> str:
    return (str(error).strip().replace("\n", " ") or type(error).__name__)[:200]
