"""What `describe` takes and gives; the descriptions here are what callers read in ListOperations."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from imagebatch_server.operations import MeteredOutput, PictureOutput
from imagebatch_vision.describe.medium import Medium
from imagebatch_vision.describe.quality import Verdict
from imagebatch_vision.endpoint.parameters import EndpointParameters

VERSION = "2.3.2"
"""Of the operation, whatever backend runs it."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class DescribeParameters(EndpointParameters):
    """Options of `describe`."""

    local_only: ClassVar[tuple[str, ...]] = ("read_text", "max_text_lines", "cross_check")

    read_text: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="For `local`: whether to read visible text. `auto`: drawings, and photographs in which a glance at "
        "384 pixels shows text; small print in a large scene may be missed. `always`: every image, and from up to "
        "2,000 pixels; about half a second more for each. `never`: not at all. A picture more than 2.5 times as long "
        "as wide is read in parts, from up to 8 million pixels. Text may lie on its side or upside down.",
    )
    max_text_lines: int = Field(
        default=20,
        ge=1,
        le=500,
        description="For `local`: pieces of text read in one image, from the top; each takes 0.02 to 0.1 s. Where "
        "there are more, `text_is_cut` says so.",
    )
    cross_check: bool = Field(
        default=False,
        description="For `local`: whether to look a second time, from other views (mirrored, at other scales, all of "
        "the picture instead of its middle), and say in `is_verified` whether that bears out the description; 0.2 s "
        "more.",
    )


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Box(_Part):
    """An upright box in the image as it is shown, EXIF rotation applied: shares of its width and height."""

    left: Share = Field(description="From 0 at the image's left edge to 1 at its right one; so is `right`.")
    top: Share = Field(description="From 0 at the image's upper edge to 1 at its lower one; so is `bottom`.")
    right: Share = Field(description="See `left`.")
    bottom: Share = Field(description="See `top`.")


class Point(_Part):
    """A point of the image as it is shown."""

    x: Share = Field(description="As a box's `left`.")
    y: Share = Field(description="As a box's `top`.")


class FoundObject(_Part):
    """A thing, and where it is."""

    name: str = Field(description="One of eighty everyday things, for example `cat`.")
    confidence: Share = Field(description="The calibrated probability that there is such a thing in the image.")
    box: Box = Field(description="Where it is.")


class FoundFace(_Part):
    """A face, and where it is; whose it is nobody asks."""

    box: Box = Field(description="Where it is.")


class TextLine(_Part):
    """A line of text, and where it is."""

    text: str = Field(description="As in `visible_text`.")
    confidence: Share = Field(description="The measured probability that every letter is right.")
    corners: list[Point] = Field(
        description="Its four corners, clockwise from the upper left one as the text is read: of turned text no "
        "upright box.",
        min_length=4,
        max_length=4,
    )


class Tag(_Part):
    """A word for what is in the image."""

    name: str = Field(description="An English word or name, for example `tabby cat` or `animal`.")
    confidence: Share = Field(description="The calibrated probability that it names something prominent in the image.")


class ModelUsed(_Part):
    """A model that was asked."""

    name: str = Field(description="Its name, for example `nanodet-g`.")
    sha256: str | None = Field(
        default=None, description="SHA-256 of its file, 64 lower-case hex digits; null where it is remote."
    )


class DominantColour(_Part):
    """A colour that covers at least a twentieth of the image."""

    name: str = Field(description="The everyday name, for example `dark green`.")
    hex: str = Field(description="The mean of the pixels of that name, `#rrggbb` in sRGB.", pattern="^#[0-9a-f]{6}$")
    share: Share = Field(description="The share of the image's pixels that bear the name.")


class Quality(_Part):
    """Measured on the image in grey, brought down to 640 pixels on its longest side."""

    sharpness: Share = Field(
        description="The share of the difference between neighbouring pixels that a further blur takes away (1 minus "
        "the blur measure of Crete et al. 2007). Ordinary photographs have 0.6 to 0.9; 0 for a blank image."
    )
    brightness: Share = Field(description="The mean luma: 0 is black, 1 is white.")
    contrast: Share = Field(
        description="The standard deviation of luma: 0 is one even tone, 0.5 half black and half white."
    )
    verdicts: list[Verdict] = Field(
        description="The same in plain words, empty where nothing stands out. `low contrast`: contrast below 0.08; "
        "`small`: longest side below 128 pixels; of photographs also `blurred`: sharpness below 0.5, `dark`: "
        "brightness below 0.22, `overexposed`: brightness from 0.8 with a third of the image white, unless a "
        "tenth of it is covered by text."
    )


class DescribeOutput(MeteredOutput, PictureOutput):
    """A description of the image and the facts it rests on."""

    description: str = Field(
        description="One to four English sentences, usable as alternative text. Local: what is named has a "
        "probability of 0.9 and more, or of 0.7 where it is `what looks like ...` or `a dog that looks like ...`, of "
        "which the dog has 0.9; where nothing has, they say that the subject was not recognised. A number of people is "
        "given only where faces and bodies were counted alike."
    )
    confidence_score: Share = Field(
        description="The calibrated probability that the weakest statement in `description` is right: the named "
        "things, the quoted text. Where no subject was recognised: that of the best guess, which is left unsaid. 0 "
        "for a drawing without text, of which nothing is guessed; 1 for a blank image. With backend openai: what the "
        "model says of itself, here and in `tags`, which is not calibrated."
    )
    is_verified: bool | None = Field(
        default=None,
        description="With `cross_check`: true if a second look agrees with every statement (each thing named, the "
        "number of people, each quoted line), false if with one it doesn't, if something else covers half the picture "
        "by it or more, or if nothing was recognised. Otherwise null.",
    )
    medium: Medium = Field(
        description="`photograph`; `graphic` (a drawing, chart or screenshot); `page` (a page of text); `blank`; "
        "`unknown` where the pixels don't tell. Local tags and subjects are given for photographs and unknown only."
    )
    tags: list[Tag] = Field(description="Words more likely right than not, most confident first; may be empty.")
    visible_text: list[str] | None = Field(
        default=None,
        description="Lines of text in the order in which they are read, those read with little certainty left out; "
        "empty where none was found, null where none was looked for (`read_text` is `never`).",
    )
    text_lines: list[TextLine] | None = Field(
        default=None,
        description="The same lines with their places, in the same order; null where none was looked for, and with "
        "backend openai.",
    )
    objects: list[FoundObject] | None = Field(
        default=None,
        description="Things that are more likely there than not, each with its place, most confident first; null where "
        "none were looked for (graphic, page, blank), and with backend openai.",
    )
    faces: list[FoundFace] | None = Field(
        default=None,
        description="Faces with their places, clearest first, looked for where there are people; null likewise.",
    )
    text_is_cut: bool = Field(description="Whether there is more text than `max_text_lines`.")
    captured_at: str | None = Field(
        default=None,
        description="When it was taken, by EXIF or XMP (of the picture, or else of its digitizing), such as "
        "`2024-05-03T14:30:00`, or `2024-05-03T14:30:00+02:00` where the file names the zone; null where it says "
        "nothing.",
    )
    format: str = Field(description="The file's format by its content, for example `jpeg`.")
    width: int = Field(description="Pixels across as the image is shown, EXIF rotation applied.")
    height: int = Field(description="Pixels down as the image is shown, EXIF rotation applied.")
    size_bytes: int = Field(description="The file's size.")
    frame_count: int = Field(description="Frames of an animation or pages of a TIFF; only the first is described.")
    dominant_colours: list[DominantColour] = Field(description="Largest first, at most five.")
    quality: Quality = Field(description="Measured quality.")
    operation_version: str = Field(description="The version of `describe` that made this output.")
    models: list[ModelUsed] = Field(description="The models behind it, those that only measure left out.")
