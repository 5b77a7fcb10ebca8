"""The operation `thumbnail`: a smaller copy of an image, to be shown in a list or on a page."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from PIL import Image as PillowImage
from pydantic import BaseModel, ConfigDict, Field, model_validator

from imagebatch_server.operations import (
    Frame,
    Image,
    ItemContext,
    ItemError,
    ItemErrorCode,
    Operation,
    Output,
    Parameters,
    PictureOutput,
    Stored,
    StrictParameters,
)

_DEFAULT_SIDE_PX = 256
_MOST_ASKED_PX = 4_096
_LONGEST_SIDE_PX = 16_383
"""What a WebP can hold; it bounds the side that follows from the other one."""
_DEFAULT_QUALITY = 80

Format = Literal["jpeg", "png", "webp"]


_MOST_MOVING_PX = 100_000_000
"""Pixels of all frames of an animation together, which are in memory at one time."""


class Focus(BaseModel):
    """A point of an image as it is shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    x: float = Field(ge=0.0, le=1.0, description="From 0 at the left edge to 1 at the right one.")
    y: float = Field(ge=0.0, le=1.0, description="From 0 at the upper edge to 1 at the lower one.")


class ThumbnailParameters(StrictParameters):
    """Options of `thumbnail`."""

    width: int | None = Field(
        default=None,
        ge=1,
        le=_MOST_ASKED_PX,
        description="Pixels across. Absent: as follows from `height` and the image's shape. Without both the box is "
        "256 by 256.",
    )
    height: int | None = Field(
        default=None, ge=1, le=_MOST_ASKED_PX, description="Pixels down. Absent: as follows from `width` likewise."
    )
    fit: Literal["contain", "cover"] = Field(
        default="contain",
        description="`contain`: the whole image, as large as fits into the box; one side may be shorter than asked "
        "for. `cover`: exactly the box, with what sticks out cut off, evenly on both sides or as `focus` says; takes "
        "both sides.",
    )
    focus: Focus | None = Field(
        default=None,
        description="With fit `cover`: the point of interest. The part that is kept has it as near to its middle as "
        "the image's edges allow. Absent: the middle.",
    )
    enlarge: bool = Field(
        default=False,
        description="Whether an image smaller than the box is enlarged. If not, `contain` keeps its size, and `cover` "
        "cuts the largest part of the box's shape out of it.",
    )
    format: Format = Field(
        default="jpeg",
        description="The thumbnail's format. `png` and `webp` keep transparency and can move; in `jpeg` what is clear "
        "shows the background.",
    )
    background: str | None = Field(
        default=None,
        pattern="^#[0-9a-fA-F]{6}$",
        description="The colour, `#rrggbb`, that shows where the image is clear; then no format keeps transparency. "
        "Absent: `png` and `webp` keep it, and in `jpeg` the colour is white, or black for an image that would vanish "
        "on white, such as a white logo.",
    )
    frame: int = Field(
        default=0,
        ge=0,
        lt=10_000,
        description="Which frame of an animation or page of a document, counted from 0; the last where there are "
        "fewer.",
    )
    animation: bool = Field(
        default=False,
        description="Whether an animation is kept, all its frames with their times, in `webp` or `png`. If not, and "
        "of documents with several pages, it is one `frame`.",
    )
    quality: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="For `jpeg` and `webp`, from 1 (smallest file) to 100 (best). Absent: 80. `png` loses nothing and "
        "takes none.",
    )

    @model_validator(mode="after")
    def _check(self) -> ThumbnailParameters:
        if self.fit == "cover" and (self.width is None) != (self.height is None):
            raise ValueError("fit cover needs both width and height; give the other one, or use fit contain")
        if self.format == "png" and self.quality is not None:
            raise ValueError("format png takes no quality; leave it out, or use format jpeg or webp")
        if self.focus is not None and self.fit != "cover":
            raise ValueError("focus says what fit cover keeps; use that, or leave focus out")
        if self.animation and self.format == "jpeg":
            raise ValueError("format jpeg can't move; use webp or png, or leave animation out")
        if self.animation and self.frame:
            raise ValueError("animation keeps all frames, and frame picks one; leave one of them out")
        return self


class ThumbnailOutput(PictureOutput):
    """What was made; the image itself is at `stored_image_url` and under `stored_object_key`."""

    width: int = Field(description="Pixels across.")
    height: int = Field(description="Pixels down.")
    format: Format = Field(description="The format, as asked for.")
    has_alpha: bool = Field(description="Whether it has transparency.")
    frame_count: int = Field(default=1, description="Its frames: more than 1 if it moves.")
    size_bytes: int = Field(description="The file's size.")
    sha256: str = Field(description="SHA-256 of the file's bytes, 64 lower-case hex digits.")
    source_width: int = Field(description="Pixels across of the original as it is shown, EXIF rotation applied.")
    source_height: int = Field(description="Pixels down of the original as it is shown, EXIF rotation applied.")
    source_format: str = Field(description="The original's format by its content, for example `jpeg`.")
    operation_version: str = Field(description="The version of `thumbnail` that made it.")


@dataclass(frozen=True)
class Plan:
    """Which part of the shown image (left, top, right, bottom) is brought to which size, in pixels."""

    size: tuple[int, int]
    box: tuple[float, float, float, float]


class Thumbnail(Operation[ThumbnailParameters]):
    """Resize and re-encode an image: turned as EXIF says, in sRGB, with nothing of the file but the picture."""

    name: ClassVar[str] = "thumbnail"
    version: ClassVar[str] = "1.1.0"
    description: ClassVar[str] = (
        "Makes a smaller copy of an image as JPEG, PNG or WebP and stores it: turned upright, converted to sRGB, "
        "without metadata (no location, no camera, no embedded preview). Of an animation one frame, or all of them."
    )
    parameters: ClassVar[type[Parameters]] = ThumbnailParameters
    output: ClassVar[type[Output]] = ThumbnailOutput

    def run(self, image: Image, parameters: ThumbnailParameters, item: ItemContext) -> Stored:
        """Make the thumbnail; some milliseconds, and for a large JPEG about 5 for each megapixel.

        Raises ItemError: DECODE_FAILED, TOO_LARGE.
        """
        image = image.at(parameters.frame)
        plan = make_plan(image.upright_size, parameters)
        frames = _moving(image, plan, parameters) if parameters.animation and image.is_animated else []
        if len(frames) > 1:
            picture, data = frames[0].picture, _encode_moving(frames, parameters)
        else:
            keep_alpha = parameters.format != "jpeg" or parameters.background is not None
            picture = _on_ground(image.resized(plan.size, box=plan.box, keep_alpha=keep_alpha), parameters)
            data = _encode(picture, parameters)
        output = ThumbnailOutput(
            width=picture.width,
            height=picture.height,
            format=parameters.format,
            has_alpha=picture.mode == "RGBA",
            frame_count=max(1, len(frames)),
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            source_width=image.upright_size[0],
            source_height=image.upright_size[1],
            source_format=image.format,
            operation_version=self.version,
            is_truncated=image.is_truncated,
            is_preview=image.is_preview,
        )
        return Stored(output, data, f"image/{parameters.format}")


def make_plan(source: tuple[int, int], parameters: ThumbnailParameters) -> Plan:
    """Decide size and part for an image of `source` width and height."""
    if parameters.width is None and parameters.height is None:
        asked = (_DEFAULT_SIDE_PX, _DEFAULT_SIDE_PX)
    else:
        asked = (parameters.width or _LONGEST_SIDE_PX, parameters.height or _LONGEST_SIDE_PX)
    most = float("inf") if parameters.enlarge else 1.0
    width, height = source
    if parameters.fit == "contain":
        scale = min(asked[0] / width, asked[1] / height, most)
        return Plan(_rounded(width * scale, height * scale), (0, 0, width, height))
    shrunk = 1.0 if parameters.enlarge else min(1.0, width / asked[0], height / asked[1])
    size = _rounded(asked[0] * shrunk, asked[1] * shrunk)
    scale = max(size[0] / width, size[1] / height)
    focus = parameters.focus or Focus(x=0.5, y=0.5)
    left, right = _around(focus.x * width, size[0] / scale, width)
    top, bottom = _around(focus.y * height, size[1] / scale, height)
    return Plan(size, (left, top, right, bottom))


def _around(point: float, length: float, whole: float) -> tuple[float, float]:
    """Where a part of that length begins and ends that has the point nearest to its middle."""
    start = max(0.0, min(point - length / 2, whole - length))
    return start, min(whole, start + length)


def _rounded(width: float, height: float) -> tuple[int, int]:
    return max(1, round(width)), max(1, round(height))


def _moving(image: Image, plan: Plan, parameters: ThumbnailParameters) -> list[Frame]:
    width, height = plan.size
    if image.frame_count * width * height > _MOST_MOVING_PX:
        raise ItemError(
            ItemErrorCode.TOO_LARGE,
            f"{image.frame_count:,} frames of {width} x {height} pixels are above the limit of {_MOST_MOVING_PX:,} "
            "pixels together; ask for a smaller box, or leave animation out",
        )
    return [Frame(_on_ground(it.picture, parameters), it.duration_ms) for it in image.frames(plan.size, plan.box)]


def _on_ground(picture: PillowImage.Image, parameters: ThumbnailParameters) -> PillowImage.Image:
    if parameters.background is None or picture.mode != "RGBA":
        return picture
    ground = PillowImage.new("RGB", picture.size, parameters.background)
    ground.paste(picture, (0, 0), picture)
    return ground


def _encode_moving(frames: Sequence[Frame], parameters: ThumbnailParameters) -> bytes:
    stream = io.BytesIO()
    first, *others = [it.picture for it in frames]
    durations = [it.duration_ms for it in frames]
    quality = {"quality": parameters.quality or _DEFAULT_QUALITY} if parameters.format == "webp" else {}
    first.save(stream, parameters.format, save_all=True, append_images=others, duration=durations, loop=0, **quality)
    return stream.getvalue()


def _encode(picture: PillowImage.Image, parameters: ThumbnailParameters) -> bytes:
    stream = io.BytesIO()
    if parameters.format == "png":
        picture.save(stream, "PNG")
    else:
        picture.save(stream, parameters.format.upper(), quality=parameters.quality or _DEFAULT_QUALITY)
    return stream.getvalue()
