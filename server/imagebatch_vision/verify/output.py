"""What `verify` answers; the descriptions here are what callers read in ListOperations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from imagebatch_server.operations import Image, MeteredOutput, PictureOutput
from imagebatch_vision.describe.output import ModelUsed

VERSION = "1.1.3"
"""Of the operation, whatever backend runs it."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Verdict = Literal["supported", "contradicted", "cannot_tell"]
CheckName = Literal[
    "integrity", "declared_type", "not_blank", "sharpness", "exposure", "size", "text", "label", "capture_time",
    "rule", "expectations",
]  # fmt: skip

_REQUIRED: frozenset[CheckName] = frozenset(
    {"integrity", "size", "text", "label", "capture_time", "rule", "expectations"}
)
"""These have to be supported; of the others it is enough that they aren't contradicted."""
_UNKNOWN_SCORE = 0.5


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(_Part):
    """One claim about the image and what was found of it."""

    name: CheckName = Field(
        description="The claim. `integrity`: the file is an image and decodes whole; faults beside "
        "the picture don't count, and of formats and features that aren't read here it can't be told. "
        "`declared_type`: it is of the type that the caller or the host named. `not_blank`: it shows something. "
        "`sharpness`: it is not blurred. `exposure`: it is neither too dark nor burnt out. The others are what was "
        "expected: `size`, `text`, `label`, `capture_time`, each `rule`, and `expectations` for those of an item that "
        "can't be understood."
    )
    verdict: Verdict = Field(
        description="`supported`: the image bears the claim out. `contradicted`: the image shows the opposite. "
        "`cannot_tell`: neither; what is not recognised, not legible or not recorded never counts as a contradiction."
    )
    score: Share | None = Field(
        default=None,
        description="How far the image bears the claim out, from 0 (not at all) to 1; absent for `cannot_tell`. Facts "
        "have 0 or 1; measured figures 0.5 where they are just at their limit, and in proportion above and below; "
        "`text` the similarity; `label` the calibrated probability. With backend openai those of `text`, `label` and "
        "`rule` are the model's own, at least 0.5 for supported and at most 0.5 for contradicted, and not calibrated.",
    )
    detail: str = Field(description="What was found, in one English sentence.")
    rule: str | None = Field(default=None, description="Of a `rule`: its words, as they were given.")


class VerifyOutput(MeteredOutput, PictureOutput):
    """Whether the image is what it is claimed to be, and the checks that say so."""

    is_verified: bool = Field(
        description="True if no check is contradicted, and `integrity` and everything that was expected (text, label, "
        "size, capture time) are supported. A check that can't tell prevents it only if it is `integrity` or about an "
        "expectation."
    )
    confidence_score: Share = Field(
        description="How far the weakest claim is borne out: the lowest score of the checks, where `integrity` "
        "or an expectation of which nothing can be told counts 0.5 and other checks that can't tell do not count. With "
        "the default thresholds, above 0.5 where `is_verified`, 0.5 or less where not."
    )
    checks: list[Check] = Field(description="One for each claim, `integrity` first.")
    format: str | None = Field(
        default=None, description="The file's format by its content, for example `jpeg`; absent if it is no image."
    )
    width: int | None = Field(default=None, description="Pixels across as the image is shown, EXIF rotation applied.")
    height: int | None = Field(default=None, description="Pixels down as the image is shown, EXIF rotation applied.")
    models: list[ModelUsed] = Field(description="The models that were asked for this image; empty if none was needed.")
    operation_version: str = Field(description="The version of `verify` that made this output.")


def supported(name: CheckName, score: float, detail: str, *, rule: str | None = None) -> Check:
    """Judge a claim that the image bears out."""
    return Check(name=name, verdict="supported", score=round(score, 3), detail=detail, rule=rule)


def contradicted(name: CheckName, score: float, detail: str, *, rule: str | None = None) -> Check:
    """Judge a claim that the image shows to be wrong."""
    return Check(name=name, verdict="contradicted", score=round(score, 3), detail=detail, rule=rule)


def cannot_tell(name: CheckName, detail: str, *, rule: str | None = None) -> Check:
    """Judge a claim about which the image says nothing."""
    return Check(name=name, verdict="cannot_tell", detail=detail, rule=rule)


def is_verified(checks: Sequence[Check]) -> bool:
    """As `VerifyOutput.is_verified` defines it."""
    return all(
        check.verdict == "supported" or (check.verdict == "cannot_tell" and check.name not in _REQUIRED)
        for check in checks
    )


def confidence(checks: Sequence[Check]) -> float:
    """As `VerifyOutput.confidence_score` defines it."""
    scores = [check.score for check in checks if check.score is not None]
    if any(check.verdict == "cannot_tell" and check.name in _REQUIRED for check in checks):
        scores.append(_UNKNOWN_SCORE)
    return min(scores)


def output_of(
    image: Image | None,
    checks: Sequence[Check],
    models: Sequence[ModelUsed],
    *,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
) -> VerifyOutput:
    """Sum up what was found of an image, or about a file that is none."""
    width, height = (None, None) if image is None else image.upright_size
    return VerifyOutput(
        is_verified=is_verified(checks),
        confidence_score=confidence(checks),
        checks=list(checks),
        format=None if image is None else image.format,
        width=width,
        height=height,
        models=list(models),
        operation_version=VERSION,
        is_truncated=image is not None and image.is_truncated,
        is_preview=image is not None and image.is_preview,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
    )
