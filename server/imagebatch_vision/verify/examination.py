"""One image, looked at claim by claim, and no further than the claims need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from PIL import Image as PillowImage

from imagebatch_server.operations import Image, ItemContext, ItemError, ItemErrorCode, UnsupportedPicture
from imagebatch_vision.describe.medium import Medium, judge_medium
from imagebatch_vision.describe.output import ModelUsed
from imagebatch_vision.describe.reader import SCENE_PX
from imagebatch_vision.verify.file_checks import check_capture_time, check_declared_type, check_size
from imagebatch_vision.verify.integrity import check_integrity
from imagebatch_vision.verify.label import RECOGNISED, check_label
from imagebatch_vision.verify.models import Models
from imagebatch_vision.verify.output import Check, CheckName, cannot_tell, contradicted
from imagebatch_vision.verify.parameters import VerifyParameters, expected_of
from imagebatch_vision.verify.pixel_checks import NAMES, check_exposure, check_not_blank, check_sharpness
from imagebatch_vision.verify.text import check_text, similarity

_BY_LOOKING: frozenset[CheckName] = frozenset({"not_blank", "sharpness", "exposure", "text", "label"})
"""Judged by the picture: what is missing of it might say otherwise than what there is."""


@dataclass(frozen=True)
class Picture:
    """A whole image, as far as most checks need it."""

    scene: PillowImage.Image
    """RGB, its longest side at most SCENE_PX."""

    @cached_property
    def medium(self) -> Medium:
        """Judge it when it is first asked for."""
        return judge_medium(self.scene)


class Examination:
    """Judge the claims about one image, or about a file that can't be opened as one, as `refusal` says."""

    def __init__(
        self, image: Image | ItemError, parameters: VerifyParameters, item: ItemContext, models: Models
    ) -> None:
        """Decode the image. Raises ItemError: TOO_LARGE."""
        self.models_used: list[ModelUsed] = []
        self._image = image if isinstance(image, Image) else None
        self._refusal = image if isinstance(image, ItemError) else None
        self._picture: Picture | None = None
        if isinstance(image, ItemError):
            self._integrity_check = _of_refusal(image)
        else:
            self._picture, self._integrity_check = _decoded(image)
        self._parameters = parameters
        self._item = item
        self._expected, self._problems = expected_of(parameters.expect, item.metadata)
        self._models = models

    def checks(self) -> Iterator[Check]:
        """Judge claim by claim, `integrity` first."""
        for name, judge in self._judge_by_claim().items():
            check = judge() or cannot_tell(name, "The image can't be decoded whole, so this can't be told.")
            is_of_part = name in _BY_LOOKING and self._image is not None and self._image.is_truncated
            if is_of_part and check.verdict == "contradicted":
                check = cannot_tell(name, f"A part of the picture is missing. {check.detail}")
            yield check
        yield from self._rules()
        yield from (cannot_tell("expectations", problem) for problem in self._problems)

    def _judge_by_claim(self) -> dict[CheckName, Callable[[], Check | None]]:
        """Map each claim that is made to what judges it, which answers None without an image to judge by."""
        chosen, expected = self._parameters.checks, self._expected
        judges: dict[CheckName, tuple[bool, Callable[[], Check | None]]] = {
            "integrity": (True, lambda: self._integrity_check),
            "declared_type": ("declared_type" in chosen, self._declared_type),
            "not_blank": ("not_blank" in chosen, self._not_blank),
            "sharpness": ("sharpness" in chosen, self._sharpness),
            "exposure": ("exposure" in chosen, self._exposure),
            "size": (bool(expected.min_width or expected.min_height), self._size),
            "text": (expected.text is not None, self._text),
            "label": (expected.label is not None, self._label),
            "capture_time": (bool(expected.captured_after or expected.captured_before), self._capture_time),
        }
        return {name: judge for name, (is_claimed, judge) in judges.items() if is_claimed}

    def _declared_type(self) -> Check | None:
        if self._image is not None:
            return check_declared_type(self._item.declared_type, self._image.format)
        if self._refusal is not None and self._refusal.code is ItemErrorCode.UNSUPPORTED_FORMAT:
            return check_declared_type(self._item.declared_type, None, self._refusal.message)
        return None

    def _size(self) -> Check | None:
        if self._image is None:
            return None
        return check_size(self._image, self._expected.min_width, self._expected.min_height)

    def _capture_time(self) -> Check | None:
        if self._image is None:
            return None
        return check_capture_time(self._image.captured, self._expected.captured_after, self._expected.captured_before)

    def _not_blank(self) -> Check | None:
        return None if self._picture is None else check_not_blank(self._picture.scene)

    def _sharpness(self) -> Check | None:
        if self._picture is None:
            return None
        return check_sharpness(self._picture.scene, self._picture.medium, self._parameters.min_sharpness)

    def _exposure(self) -> Check | None:
        if self._picture is None:
            return None
        limits = self._parameters.min_highlight, self._parameters.max_white_share
        return check_exposure(self._picture.scene, self._picture.medium, *limits)

    def _text(self) -> Check | None:
        expected, least = self._expected.text, self._parameters.min_text_similarity
        if expected is None or self._image is None or self._picture is None:
            return None
        self.models_used += self._models.of_reading
        lines = self._models.read(self._picture.scene)
        if similarity(expected, lines) < least:
            lines += self._models.read_closely(self._image)
        return check_text(expected, lines, least)

    def _label(self) -> Check | None:
        if self._expected.label is None or self._picture is None:
            return None
        medium = self._picture.medium
        if medium not in RECOGNISED:
            return cannot_tell("label", f"Things are recognised in photographs only, and it is {NAMES[medium]}.")
        self.models_used += self._models.of_recognition
        suggestions = self._models.suggest(self._picture.scene)
        return check_label(self._expected.label, suggestions, self._parameters.min_label_confidence)

    def _rules(self) -> Sequence[Check]:
        unknown = "Rules in words are judged by backend openai only."
        return [cannot_tell("rule", unknown, rule=rule) for rule in self._expected.rules]


def _of_refusal(refusal: ItemError) -> Check:
    """Judge the integrity of a file that can't be opened or decoded."""
    if isinstance(refusal, UnsupportedPicture):
        return cannot_tell("integrity", f"It isn't read here, so this can't be told: {refusal.message}.")
    return contradicted("integrity", 0.0, f"It can't be opened: {refusal.message}.")


def _decoded(image: Image) -> tuple[Picture | None, Check]:
    """Answer the picture, if there is enough of it to be judged by, and whether the file is whole."""
    try:
        scene = image.reduced(SCENE_PX, coarsely=True)
    except ItemError as error:
        if error.code is ItemErrorCode.TOO_LARGE:
            raise
        return None, _of_refusal(error)
    integrity = check_integrity(image)
    is_seen = integrity.verdict != "contradicted" or image.is_truncated
    return (Picture(scene) if is_seen else None), integrity
