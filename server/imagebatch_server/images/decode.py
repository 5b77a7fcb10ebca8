"""An image in memory, opened from bytes that nobody vouches for."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import msgspec
import PIL.Image
from msgspec.structs import replace
from PIL import ImageChops, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.colour import flattened, to_rgb_or_rgba
from imagebatch_server.images.core import Core
from imagebatch_server.images.exif import CaptureTime, capture_time, exif_of, orientation
from imagebatch_server.images.header import stored_size
from imagebatch_server.images.opening import check_size, core_of, errors_of, format_of, open_core
from imagebatch_server.images.preview import Preview

_MOST_FRAMES = 10_000

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
_OF_PAGES = ("tiff", "heif")
"""Their pictures are several of a collection, and no movement."""
_TURNED_IN_DECODING = ("heif", "jxl")
"""Whatever EXIF says: in these the container's own word counts, and the decoder follows it; AVIF's tells it instead."""


_decoding = threading.Lock()
"""Held while Pillow decodes: whether it takes files that end early is one switch for the whole process."""


class Header(msgspec.Struct, frozen=True, eq=False):
    """What an image file says before its pixels."""

    width: int
    height: int
    frame_count: int
    orientation: int
    core: Core
    exif: PIL.Image.Exif | None
    xmp: bytes | None


class _Found:
    """What was found out of a file so far."""

    def __init__(self, header: Header | None = None) -> None:
        self.header = header
        self.breaks_off = False


class Image(msgspec.Struct, frozen=True, eq=False, dict=True):
    """One image file. Its header is read on first use, and so are its pixels; either may raise ItemError."""

    data: bytes
    format: str
    """A name of `formats.FORMATS`, such as `jpeg`; by content, never by the file's name."""
    max_pixels: int
    strict: bool = False
    """Whether a picture of which a part is missing is refused when its pixels are asked for."""
    frame: int = 0
    """Which of the frames or pages it is, from 0."""
    preview: Preview | None = None
    """Is shown whatever is decoded."""
    _found: _Found = msgspec.field(default_factory=_Found)

    def __repr__(self) -> str:
        return f"<Image: {self.format}, {self.width} x {self.height}>"

    @classmethod
    def of(
        cls, data: bytes, *, max_pixels: int = 100_000_000, strict: bool = False, preview: Preview | None = None
    ) -> Image:
        """Look at a file's first bytes only: at those of an operation that never looks, more would be in vain.

        `preview` is to be shown whatever is decoded later. Raises ItemError: UNSUPPORTED_FORMAT.
        """
        return cls(data, format_of(data), max_pixels, strict, preview=preview)

    @classmethod
    def open(
        cls, data: bytes, *, max_pixels: int = 100_000_000, strict: bool = False, preview: Preview | None = None
    ) -> Image:
        """Read the header, and no pixels.

        Raises ItemError: UNSUPPORTED_FORMAT, TOO_LARGE (more than `max_pixels` pixels), DECODE_FAILED.
        """
        image = cls.of(data, max_pixels=max_pixels, strict=strict, preview=preview)
        image.header  # noqa: B018 - it is read when first asked for, and what is wrong with it is to be raised here
        return image

    @property
    def header(self) -> Header:
        """What its header says. Raises ItemError: TOO_LARGE, DECODE_FAILED."""
        if self._found.header is None:
            self._found.header = self._read_header()
        return self._found.header

    def _read_header(self) -> Header:
        core = core_of(self.format, self.data)
        size = stored_size(core.format, core.data)
        if size is not None:  # before Pillow sees the file, because it allocates a WebP's canvas on opening
            check_size(size, self.max_pixels)
        with errors_of(core, self.data):
            opened = open_core(core, self.max_pixels)
            exif = exif_of(opened, core.exif)
            # Pillow turns a TIFF's size by its orientation, and no other format's.
            width, height = size if size is not None and self.format == "tiff" else opened.size
            return Header(
                width=width,
                height=height,
                frame_count=core.frame_count or max(1, min(getattr(opened, "n_frames", 1), _MOST_FRAMES)),
                orientation=_turned(self.format, opened, exif),
                core=core,
                exif=exif,
                xmp=core.xmp or _xmp(opened),
            )

    @property
    def width(self) -> int:
        """Pixels as stored, before EXIF rotation; so is `height`."""
        return self.header.width

    @property
    def height(self) -> int:
        return self.header.height

    @property
    def frame_count(self) -> int:
        """Frames of an animation, pages of a TIFF; counting stops at 10,000."""
        return self.header.frame_count

    @property
    def orientation(self) -> int:
        """EXIF orientation, 1 to 8; 1 where the file says nothing usable."""
        return self.header.orientation

    @property
    def core(self) -> Core:
        """What of the file makes the picture."""
        return self.header.core

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height of `pixels`: as the image is shown, turned as EXIF says."""
        return (self.height, self.width) if self.orientation in _LYING else (self.width, self.height)

    @property
    def is_animated(self) -> bool:
        return self.frame_count > 1 and self.format not in _OF_PAGES

    @cached_property
    def captured(self) -> CaptureTime | None:
        """When it was taken, by EXIF or XMP, and which of their fields says so."""
        return capture_time(self.header.exif, self.header.xmp)

    @property
    def captured_at(self) -> datetime | None:
        """When it was taken; naive where the file names no zone."""
        return None if self.captured is None else self.captured.at

    @property
    def is_preview(self) -> bool:
        """Whether it is the preview in a camera's raw file, whose own pixels aren't read."""
        return self.core.format != self.format

    @property
    def is_truncated(self) -> bool:
        """Whether the file ends before its picture does; `pixels` is then what there is, the rest black or grey.

        Of some formats that shows only once `pixels`, `reduced` or `resized` was asked for.
        """
        return self.core.is_truncated or self._found.breaks_off

    @cached_property
    def sha256(self) -> str:
        """Of the file's bytes, 64 lower-case hex digits."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def pixels(self) -> PIL.Image.Image:
        """The frame: RGB, turned as EXIF says, alpha on white, or on black where it would vanish on white.

        Of a truncated file it is what there is.

        Raises ItemError: DECODE_FAILED, TOO_LARGE.
        """
        with errors_of(self.core, self.data):
            return self._upright(self._loaded())

    def reduced(self, longest_side: int, *, coarsely: bool = False) -> PIL.Image.Image:
        """`pixels` with its longest side brought down to `longest_side` pixels; a smaller image keeps its size.

        Cheaper than `pixels` for a large JPEG, which is decoded at a fraction of its size. Not cached. Coarsely, it is
        decoded no larger than it has to be: a little softer to the eye, as good to a model, and in half of the time.
        Raises ItemError: DECODE_FAILED, TOO_LARGE.
        """
        factor = longest_side / max(self.width, self.height)
        if factor >= 1:
            return self.pixels
        width, height = (max(1, round(side * factor)) for side in self.upright_size)
        return self.resized((width, height), coarsely=coarsely)

    def resized(
        self,
        size: tuple[int, int],
        *,
        box: tuple[float, float, float, float] | None = None,
        keep_alpha: bool = False,
        coarsely: bool = False,
    ) -> PIL.Image.Image:
        """Scale the part `box` of `pixels` (left, top, right, bottom; absent: all) to exactly `size` (width, height).

        With `keep_alpha` it is RGBA where the image has transparency. As `reduced`, coarsely too. Not cached.
        Raises ItemError: DECODE_FAILED, TOO_LARGE.
        """
        width, height = self.upright_size
        box = box or (0, 0, width, height)
        left, top, right, bottom = box
        scale = max(size[0] / (right - left), size[1] / (bottom - top))
        with errors_of(self.core, self.data):
            if "pixels" in self.__dict__ and not keep_alpha:
                whole = self.pixels
            else:
                # Twice the size asked for, so that the resampling below sees more than the decoder's coarse average.
                seen = scale if coarsely else 2 * scale
                enough = math.ceil(self.width * seen), math.ceil(self.height * seen)
                whole = self._upright(self._loaded(enough), keep_alpha=keep_alpha)
            return _fitted(whole, size, box, (width, height), coarsely=coarsely)

    def _loaded(self, enough: tuple[int, int] | None = None) -> ImageFile.ImageFile:
        """Decode the first frame, at a fraction of its size where that is `enough` and the decoder can do it."""
        while True:
            if self.strict and self.is_truncated:
                raise ItemError(ItemErrorCode.DECODE_FAILED, _truncated(self.format))
            opened = open_core(self.core, self.max_pixels, self.frame)
            if enough is not None:
                opened.draft(None, enough)
            try:
                with _decoding, _taking_parts(self.is_truncated):
                    opened.load()
                return opened
            except OSError as error:
                if self.is_truncated or "truncated" not in str(error):
                    raise
                self._found.breaks_off = True

    def at(self, frame: int) -> Image:
        """Decode the frame or page of that number, from 0; the last one where there are fewer. Raises ItemError."""
        number = min(frame, self.frame_count - 1)
        if number == self.frame:
            return self
        with errors_of(self.core, self.data):
            opened = open_core(self.core, self.max_pixels, number)
            (width, height), turned = opened.size, self.orientation
            if isinstance(opened, TiffImageFile):  # each page has a size and an orientation of its own
                width, height = opened.tag_v2[256], opened.tag_v2[257]
                turned = orientation(exif_of(opened, None))
        header = replace(self.header, width=width, height=height, orientation=turned)
        return replace(self, frame=number, _found=_Found(header))

    def frames(self, size: tuple[int, int], box: tuple[float, float, float, float]) -> Iterator[Frame]:
        """All frames of an animation, as `resized` makes them with alpha kept. Raises ItemError."""
        with errors_of(self.core, self.data):
            opened = open_core(self.core, self.max_pixels)
            for number in range(self.frame_count):
                try:
                    opened.seek(number)
                    check_size(opened.size, self.max_pixels)
                    with _decoding, _taking_parts(self.is_truncated):
                        opened.load()
                except (EOFError, OSError):
                    if number == 0 or not self.is_truncated:
                        raise
                    return
                info = opened.info  # it is taken off what is shown, and the next frame needs it
                shown = self._upright(opened, keep_alpha=True, frame=number)
                yield Frame(_fitted(shown, size, box, self.upright_size), int(info.get("duration") or 0))
                opened.info = info

    def _upright(
        self, opened: ImageFile.ImageFile, *, keep_alpha: bool = False, frame: int | None = None
    ) -> PIL.Image.Image:
        shown = to_rgb_or_rgba(opened, self.core.high_range)
        shown = _uncovered(shown, self.core.areas[: (self.frame if frame is None else frame) + 1])
        shown = shown if keep_alpha else flattened(shown)
        shown.info = {}  # whatever is made of it, and saved, is to carry nothing of the file but the picture
        turn = None if self.format == "tiff" else _TURNS.get(self.orientation)  # Pillow turns a TIFF itself
        shown = shown if turn is None else shown.transpose(turn)
        if self.preview is not None:
            self.preview.see(shown)
        return shown


@dataclass(frozen=True)
class Frame:
    """One frame of an animation."""

    picture: PIL.Image.Image
    duration_ms: int


def _fitted(
    whole: PIL.Image.Image,
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    of_size: tuple[int, int],
    *,
    coarsely: bool = False,
) -> PIL.Image.Image:
    """Find a part, given in pixels of a picture of `of_size`, which was perhaps decoded smaller."""
    (left, top, right, bottom), across, down = box, whole.width / of_size[0], whole.height / of_size[1]
    part = (left * across, top * down, min(right * across, whole.width), min(bottom * down, whole.height))
    if coarsely:
        return whole.resize(size, PIL.Image.Resampling.BICUBIC, part)
    return whole.resize(size, PIL.Image.Resampling.LANCZOS, part, reducing_gap=2.0)


def _uncovered(shown: PIL.Image.Image, areas: Sequence[tuple[int, int, int, int]]) -> PIL.Image.Image:
    """Clear a GIF's frame where no frame up to it has put anything: Pillow paints the background's colour there."""
    if not areas or any(_covers(area, shown.size) for area in areas):
        return shown
    covered = PIL.Image.new("L", shown.size)
    for area in areas:
        covered.paste(255, area)
    clear = shown.convert("RGBA")
    clear.putalpha(ImageChops.darker(covered, clear.getchannel("A")))
    return clear


def _turned(image_format: str, opened: ImageFile.ImageFile, exif: PIL.Image.Exif | None) -> int:
    if image_format in _TURNED_IN_DECODING:
        return 1
    return orientation(exif_of(opened, None) if image_format == "avif" else exif)


def _covers(area: tuple[int, int, int, int], size: tuple[int, int]) -> bool:
    return area[:2] == (0, 0) and area[2] >= size[0] and area[3] >= size[1]


def _xmp(opened: ImageFile.ImageFile) -> bytes | None:
    found = opened.tag_v2.get(700) if isinstance(opened, TiffImageFile) else opened.info.get("xmp")
    return found if isinstance(found, bytes) else None


def _truncated(image_format: str) -> str:
    return (
        f"the {image_format.upper()} is truncated: it ends before its picture does; send it whole, or, where the "
        "operation has the parameter strict, leave that out to use what there is"
    )


@contextmanager
def _taking_parts(takes_parts: bool) -> Iterator[None]:
    ImageFile.LOAD_TRUNCATED_IMAGES = takes_parts
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
