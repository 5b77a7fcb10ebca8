"""One image, looked at claim by claim, and no further than the claims need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from PIL import Image as PillowImage

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext
from imagebatch_server.operations.describe.medium import Medium, judge_medium
from imagebatch_server.operations.describe.output import ModelUsed
from imagebatch_server.operations.describe.reader import SCENE_PX
from imagebatch_server.operations.verify.facts import check_capture_time, check_declared_type, check_size
from imagebatch_server.operations.verify.integrity import find_damage
from imagebatch_server.operations.verify.label import RECOGNISED, check_label
from imagebatch_server.operations.verify.measured import NAMES, check_exposure, check_not_blank, check_sharpness
from imagebatch_server.operations.verify.models import Models
from imagebatch_server.operations.verify.output import Check, CheckName, cannot_tell, contradicted, supported
from imagebatch_server.operations.verify.parameters import VerifyParameters, expected_of
from imagebatch_server.operations.verify.text import check_text, similarity


@dataclass(frozen=True)
class Picture:
    """A whole image, as far as most checks need it."""

    scene: PillowImage.Image
    """RGB, its longest side at most SCENE_PX."""

    @cached_property
    def medium(self) -> Medium:
        return judge_medium(self.scene)


class Examination:
    """Judges the claims about one image, or about a file that can't be opened as one, as `refusal` says."""

    def __init__(
        self, image: Image | ItemError, parameters: VerifyParameters, item: ItemContext, models: Models
    ) -> None:
        """Decode the image. Raises ItemError: TOO_LARGE."""
        self.models_used: list[ModelUsed] = []
        self._image = image if isinstance(image, Image) else None
        self._refusal = image if isinstance(image, ItemError) else None
        self._picture: Picture | None = None
        self._damage: str | None = None
        if self._image is not None:
            self._picture, self._damage = _decode(self._image)
        self._parameters = parameters
        self._item = item
        self._expected, self._problems = expected_of(parameters.expect, item.metadata)
        self._models = models

    def checks(self) -> Iterator[Check]:
        """Judge claim by claim, `integrity` first."""
        for name, judge in self._judges().items():
            yield judge() or cannot_tell(name, "The image can't be decoded whole, so this can't be told.")
        yield from self._rules()
        yield from (cannot_tell("expectations", problem) for problem in self._problems)

    def _judges(self) -> dict[CheckName, Callable[[], Check | None]]:
        """What judges each claim that is made; it answers None where there is no image to judge by."""
        chosen, expected = self._parameters.checks, self._expected
        judges: dict[CheckName, tuple[bool, Callable[[], Check | None]]] = {
            "integrity": (True, self._integrity),
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

    def _integrity(self) -> Check:
        if self._refusal is not None:
            return contradicted("integrity", 0.0, f"It can't be opened: {self._refusal.message}.")
        if self._damage is not None:
            return contradicted("integrity", 0.0, f"It is damaged: {self._damage}.")
        return supported("integrity", 1.0, "It decodes whole.")

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
        return check_capture_time(
            self._image.captured_at, self._expected.captured_after, self._expected.captured_before
        )

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


def _decode(image: Image) -> tuple[Picture | None, str | None]:
    """The picture, or what keeps it from being seen whole."""
    try:
        scene = image.reduced(SCENE_PX)
    except ItemError as error:
        if error.code is not ItemErrorCode.DECODE_FAILED:
            raise
        return None, error.message
    damage = find_damage(image.format, image.data)
    return (Picture(scene), None) if damage is None else (None, damage)
