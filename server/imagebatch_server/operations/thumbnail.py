"""The operation `thumbnail`: a smaller copy of an image, to be shown in a list or on a page."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import ClassVar, Literal

from PIL import Image as PillowImage
from pydantic import Field, model_validator

from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext, Operation, Output, Parameters, Stored

_DEFAULT_SIDE_PX = 256
_MOST_ASKED_PX = 4_096
_LONGEST_SIDE_PX = 16_383
"""What a WebP can hold; it bounds the side that follows from the other one."""
_DEFAULT_QUALITY = 80

Format = Literal["jpeg", "png", "webp"]


class ThumbnailParameters(Parameters):
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
        "for. `cover`: exactly the box, with what sticks out cut off evenly on both sides; takes both sides.",
    )
    enlarge: bool = Field(
        default=False,
        description="Whether an image smaller than the box is enlarged. If not, `contain` keeps its size, and `cover` "
        "cuts the largest part of the box's shape out of it.",
    )
    format: Format = Field(
        default="jpeg",
        description="The thumbnail's format. `png` and `webp` keep transparency; in `jpeg` it becomes white.",
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
        return self


class ThumbnailOutput(Output):
    """What was made; the image itself is at `stored_image_url` and under `stored_object_key`."""

    width: int = Field(description="Pixels across.")
    height: int = Field(description="Pixels down.")
    format: Format = Field(description="The format, as asked for.")
    has_alpha: bool = Field(description="Whether it has transparency.")
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
    """Resizes and re-encodes an image: turned as EXIF says, in sRGB, with nothing of the file but the picture."""

    name: ClassVar[str] = "thumbnail"
    version: ClassVar[str] = "1.0.0"
    description: ClassVar[str] = (
        "Makes a smaller copy of an image as JPEG, PNG or WebP and stores it: turned upright, converted to sRGB, "
        "without metadata (no location, no camera, no embedded preview). Of an animation the first frame."
    )
    parameters: ClassVar[type[Parameters]] = ThumbnailParameters
    output: ClassVar[type[Output]] = ThumbnailOutput

    def run(self, image: Image, parameters: ThumbnailParameters, item: ItemContext) -> Stored:
        """Make the thumbnail; some milliseconds, and for a large JPEG about 5 for each megapixel.

        Raises ItemError: DECODE_FAILED, TOO_LARGE.
        """
        plan = make_plan(image.upright_size, parameters)
        picture = image.resized(plan.size, box=plan.box, keep_alpha=parameters.format != "jpeg")
        data = _encode(picture, parameters)
        output = ThumbnailOutput(
            width=picture.width,
            height=picture.height,
            format=parameters.format,
            has_alpha=picture.mode == "RGBA",
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            source_width=image.upright_size[0],
            source_height=image.upright_size[1],
            source_format=image.format,
            operation_version=self.version,
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
    left, top = (width - size[0] / scale) / 2, (height - size[1] / scale) / 2
    return Plan(size, (max(0.0, left), max(0.0, top), min(width, width - left), min(height, height - top)))


def _rounded(width: float, height: float) -> tuple[int, int]:
    return max(1, round(width)), max(1, round(height))


def _encode(picture: PillowImage.Image, parameters: ThumbnailParameters) -> bytes:
    stream = io.BytesIO()
    if parameters.format == "png":
        picture.save(stream, "PNG")
    else:
        picture.save(stream, parameters.format.upper(), quality=parameters.quality or _DEFAULT_QUALITY)
    return stream.getvalue()
