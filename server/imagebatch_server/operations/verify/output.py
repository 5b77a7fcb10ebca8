"""What `verify` answers; the descriptions here are what callers read in ListOperations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from imagebatch_server.operations.base import Output

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Verdict = Literal["supported", "contradicted", "cannot_tell"]
CheckName = Literal[
    "integrity", "declared_type", "not_blank", "sharpness", "exposure", "size", "text", "label", "capture_time",
    "expectations",
]  # fmt: skip

_EXPECTED: frozenset[CheckName] = frozenset({"size", "text", "label", "capture_time", "expectations"})
_UNKNOWN_SCORE = 0.5


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(_Part):
    """One claim about the image and what was found of it."""

    name: CheckName = Field(
        description="The claim. `integrity`: the file is an image in an accepted format and decodes whole. "
        "`declared_type`: it is of the type that the caller or the host named. `not_blank`: it shows something. "
        "`sharpness`: it is not blurred. `exposure`: it is neither too dark nor burnt out. The others are what was "
        "expected: `size`, `text`, `label`, `capture_time`, and `expectations` for those of an item that can't be "
        "understood."
    )
    verdict: Verdict = Field(
        description="`supported`: the image bears the claim out. `contradicted`: the image shows the opposite. "
        "`cannot_tell`: neither; what is not recognised, not legible or not recorded never counts as a contradiction."
    )
    score: Share | None = Field(
        default=None,
        description="How far the image bears the claim out, from 0 (not at all) to 1; absent for `cannot_tell`. Facts "
        "have 0 or 1; measured figures 0.5 where they are just at their limit, and in proportion above and below; "
        "`text` the similarity; `label` the calibrated probability.",
    )
    detail: str = Field(description="What was found, in one English sentence.")


class ModelUsed(_Part):
    """A model that was asked."""

    name: str = Field(description="Its name, for example `efficientnet-lite0`.")
    sha256: str = Field(description="SHA-256 of its file, 64 lower-case hex digits.")


class VerifyOutput(Output):
    """Whether the image is what it is claimed to be, and the checks that say so."""

    is_verified: bool = Field(
        description="True if no check is contradicted, and `integrity` and everything that was expected (text, label, "
        "size, capture time) are supported. A check that can't tell prevents it only if it is about an expectation."
    )
    confidence_score: Share = Field(
        description="How far the weakest claim is borne out: the lowest score of the checks, where an expectation "
        "about which nothing can be told counts 0.5 and other checks that can't tell do not count. With the default "
        "thresholds, above 0.5 where `is_verified`, 0.5 or less where not."
    )
    checks: list[Check] = Field(description="One for each claim, `integrity` first.")
    format: str | None = Field(
        default=None, description="The file's format by its content, for example `jpeg`; absent if it is no image."
    )
    width: int | None = Field(default=None, description="Pixels across as the image is shown, EXIF rotation applied.")
    height: int | None = Field(default=None, description="Pixels down as the image is shown, EXIF rotation applied.")
    models: list[ModelUsed] = Field(description="The models that were asked for this image; empty if none was needed.")
    operation_version: str = Field(description="The version of `verify` that made this output.")


def supported(name: CheckName, score: float, detail: str) -> Check:
    """A claim that the image bears out."""
    return Check(name=name, verdict="supported", score=round(score, 3), detail=detail)


def contradicted(name: CheckName, score: float, detail: str) -> Check:
    """A claim that the image shows to be wrong."""
    return Check(name=name, verdict="contradicted", score=round(score, 3), detail=detail)


def cannot_tell(name: CheckName, detail: str) -> Check:
    """A claim about which the image says nothing."""
    return Check(name=name, verdict="cannot_tell", detail=detail)


def is_verified(checks: Sequence[Check]) -> bool:
    """As `VerifyOutput.is_verified` defines it."""
    return all(
        check.verdict == "supported"
        or (check.verdict == "cannot_tell" and check.name not in _EXPECTED and check.name != "integrity")
        for check in checks
    )


def confidence(checks: Sequence[Check]) -> float:
    """As `VerifyOutput.confidence_score` defines it."""
    scores = [check.score for check in checks if check.score is not None]
    if any(check.verdict == "cannot_tell" and check.name in _EXPECTED for check in checks):
        scores.append(_UNKNOWN_SCORE)
    return min(scores)
