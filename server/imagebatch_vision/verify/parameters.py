"""What `verify` takes: checks, thresholds, and what is expected of every image or of one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails

from imagebatch_server.operations import Parameters
from imagebatch_vision.endpoint.parameters import EndpointParameters
from imagebatch_vision.verify.text import has_letters
from imagebatch_vision.verify.vocabulary import UnknownWord, load_words

METADATA_KEY = "expect"
"""Where an item's metadata holds its expectations."""

_LIMITS_OF_TIME = ("captured_after", "captured_before")


def _time(value: object) -> object:
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("write a date or time as in 2024-05-31, 2024-05-31T18:30:00 or 2024-05-31T18:30:00Z") from None


def _legible(value: str) -> str:
    if not has_letters(value):
        raise ValueError("there is no letter or digit in it, and nothing else is compared")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("it is blank; name what the image is to show")
    return value


Time = Annotated[
    datetime, BeforeValidator(_time), WithJsonSchema({"type": "string", "examples": ["2024-05-31T18:30:00"]})
]


Rule = Annotated[str, Field(min_length=1, max_length=500)]


class Expectations(Parameters):
    """What an image is expected to be; whatever is given is checked, and must be supported for `is_verified`."""

    text: Annotated[str, Field(max_length=1_000), AfterValidator(_legible)] | None = Field(
        default=None,
        description="Text that is to be read in the image. Compared by letters and digits alone (case, accents, spaces "
        "and punctuation don't count) with the part of all text read that is most like it: similarity is 1 minus the "
        "edit distance divided by the length, where each wrong digit counts as five letters. Up to four characters "
        "must be words of their own. The local backend reads Latin, Chinese and Japanese writing. Where so many of the "
        "text's letters are of another (Cyrillic, Greek, Hebrew) that, all missed, they would keep it from being "
        "found, nothing contradicts it.",
    )
    label: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_not_blank)] | None = Field(
        default=None,
        description="What the image is to show, in an English word or two, such as `cat`, `school bus` or `sofa`; "
        "alternatives with `or` between them. The local backend knows about a thousand things, the wider words above "
        "them and common synonyms. Of people it knows no kinds: where it sees a person, it can't tell whether that is "
        "a `man`, a `woman` or a `child`. It contradicts only where it is sure of something else in the picture and "
        "either looks for the thing everywhere and finds nothing like it (people and some eighty common animals, "
        "vehicles, foods and household things), or the other subject excludes it: another animal, or a vehicle where "
        "food was expected.",
    )
    captured_after: Time | None = Field(
        default=None,
        description="The image was captured at this time or later, by EXIF or XMP: the time of the picture, or "
        "else of its digitizing. ISO 8601. Where the file names no zone, as many cameras' don't, its time is taken as "
        "local: against a limit with a zone, what lies within the 14 hours that zones differ can't be told. A limit "
        "without a zone is compared with the local time as it stands.",
    )
    captured_before: Time | None = Field(default=None, description="It was captured before this time, likewise.")
    rules: list[Rule] = Field(
        default=[],
        max_length=20,
        description="With backend openai: what must hold, in words, such as `the label on the bottle is readable`; "
        "each is a check of its own. The local backend can't tell.",
    )
    min_width: int | None = Field(default=None, ge=1, description="The least pixels across, EXIF rotation applied.")
    min_height: int | None = Field(default=None, ge=1, description="The least pixels down, EXIF rotation applied.")

    @model_validator(mode="after")
    def _check(self) -> Expectations:
        after, before = self.captured_after, self.captured_before
        if after and before and after.replace(tzinfo=None) >= before.replace(tzinfo=None):
            limits = f"{after.isoformat()} and {before.isoformat()}"
            raise ValueError(f"captured_after is not earlier than captured_before ({limits}), so no time fits")
        return self


class VerifyParameters(EndpointParameters):
    """Options of `verify`."""

    local_only: ClassVar[tuple[str, ...]] = ("min_text_similarity", "min_label_confidence")

    checks: list[Literal["declared_type", "not_blank", "sharpness", "exposure"]] = Field(
        default=["declared_type", "not_blank", "sharpness", "exposure"],
        description="Which claims are checked besides `integrity`, which always is, and besides what is expected. "
        "Leave `exposure` out for scans and for products on white, `sharpness` for soft pictures.",
    )
    expect: Expectations = Field(
        default=Expectations(),
        description=f"What is expected of every image of the batch. An item's metadata may hold the same fields under "
        f"`{METADATA_KEY}`, and each of them goes before the batch's. One that can't be understood there leaves the "
        "check `expectations` at `cannot_tell`, so that the item is not verified; so do limits of time, be they the "
        "item's own or one of them the batch's, between which no time lies, and then neither is checked.",
    )
    min_sharpness: float = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        description="The sharpness below which a photograph counts as blurred; `describe` explains the measure. "
        "Ordinary photographs have 0.6 to 0.9, the same blurred by two pixels 0.3 to 0.55.",
    )
    min_highlight: float = Field(
        default=0.45,
        gt=0.0,
        le=1.0,
        description="The luma (0 black, 1 white) that the brightest hundredth of a photograph must reach; below it the "
        "photograph is too dark. Night scenes with lamps in them reach it.",
    )
    max_white_share: float = Field(
        default=0.4,
        gt=0.0,
        lt=1.0,
        description="The share of a photograph that may be white (luma of at least 0.95); above it, it is burnt out.",
    )
    min_text_similarity: float = Field(
        default=0.85,
        gt=0.0,
        le=1.0,
        description="For `local`: the similarity from which an expected text counts as found.",
    )
    min_label_confidence: float = Field(
        default=0.7,
        gt=0.0,
        le=1.0,
        description="For `local`: the calibrated probability from which an expected label is supported.",
    )

    @model_validator(mode="after")
    def _check(self) -> VerifyParameters:
        if self.backend == "local" and self.expect.rules:
            raise _refused("rules", self.expect.rules, "a model judges them: use backend openai, or leave them out")
        if self.backend == "local" and self.expect.label is not None:
            try:
                load_words().find(self.expect.label)
            except UnknownWord as unknown:
                raise _refused("label", self.expect.label, str(unknown)) from None
        return self


def _refused(field: str, value: object, why: str) -> ValidationError:
    """Make what pydantic would raise had the field's own validator known the backend: with the path to it."""
    detail = InitErrorDetails(type="value_error", loc=("expect", field), input=value, ctx={"error": ValueError(why)})
    return ValidationError.from_exception_data(VerifyParameters.__name__, [detail])


def expected_of(batch: Expectations, metadata: Mapping[str, Any]) -> tuple[Expectations, list[str]]:
    """Find what is expected of an item, and what is wrong with what its metadata says of it."""
    own = metadata.get(METADATA_KEY)
    if own is None:
        return batch, []
    if not isinstance(own, Mapping):
        return batch, [f"metadata.{METADATA_KEY} is {_shown(own)}; give a mapping with {_known()}"]
    given = {str(field): value for field, value in own.items() if value is not None}
    details = _errors(given)
    wrong = {str(detail["loc"][0]) for detail in details if detail["loc"]}
    problems = [_problem(detail) for detail in details if detail["loc"]]
    known = batch.model_dump(mode="json", exclude_unset=True)
    known |= {field: value for field, value in given.items() if field not in wrong}
    for detail in _errors(known):  # of all fields together: each by itself is right
        problems.append(f"metadata.{METADATA_KEY} over the batch's expectations: {_message(detail)}")
        known = {field: value for field, value in known.items() if field not in _LIMITS_OF_TIME}
    return Expectations.parse(known), problems


def _errors(given: Mapping[str, Any]) -> list[ErrorDetails]:
    try:
        Expectations.parse(given)
    except ValidationError as error:
        return error.errors(include_url=False, include_context=False)
    return []


def _problem(detail: ErrorDetails) -> str:
    path = ".".join(["metadata", METADATA_KEY, str(detail["loc"][0])])
    if detail["type"] == "extra_forbidden":
        return f"{path} is no expectation that is known; known are {_known()}"
    return f"{path} is {_shown(detail['input'])}: {_message(detail)}"


def _message(detail: ErrorDetails) -> str:
    return detail["msg"].removeprefix("Value error, ")


def _shown(value: object) -> str:
    return repr(value)[:100]


def _known() -> str:
    return ", ".join(Expectations.model_fields)
