"""How often `verify` is right, on photographs that installed packages carry, clean and damaged in every way.

    python -m benchmarks.quality.verify

It puts its table into RESULTS.md. A true positive is a claim that is wrong and contradicted; a false positive one that
is right and contradicted. What is not contradicted is supported or, counted apart, can't be told.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from benchmarks.quality import chapters, damage, report
from benchmarks.quality.photographs import Photograph, encoded, photographs
from imagebatch_server.testing import OperationTester
from imagebatch_vision.verify import Verify

SEED = 1
ROUNDS = 3
"""Random damages of one kind to each file."""

SHARPNESS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "blurred by 2 pixels": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "blurred by 3 pixels": lambda image: image.filter(ImageFilter.GaussianBlur(3)),
    "moved by 15 pixels": lambda image: image.filter(ImageFilter.BoxBlur((7, 0))),
}
EXPOSURE: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "brightness times 0.2": lambda image: ImageEnhance.Brightness(image).enhance(0.2),
    "brightness times 0.4": lambda image: ImageEnhance.Brightness(image).enhance(0.4),
    "brightness times 3": lambda image: ImageEnhance.Brightness(image).enhance(3.0),
}
BLANK: Mapping[str, tuple[int, int, int]] = {"white": (255,) * 3, "grey": (128,) * 3, "black": (0,) * 3}

WRONG_LABELS = ("dog", "bird", "horse", "cat", "bus", "bicycle", "train", "boat", "pizza", "guitar", "sofa", "laptop")
WORDS = [
    "annual",
    "report",
    "garden",
    "window",
    "express",
    "machine",
    "quality",
    "winter",
    "market",
    "station",
    "battery",
    "keyboard",
    "orange",
    "mountain",
    "river",
    "police",
    "library",
    "museum",
    "ticket",
    "platform",
    "entrance",
    "danger",
    "voltage",
    "fragile",
    "handle",
    "serial",
    "model",
    "weight",
]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    check: str
    case: str
    is_claim_right: bool
    verdicts: Sequence[str]
    """Of each image."""

    def __str__(self) -> str:
        total, counted = len(self.verdicts), Counter(self.verdicts)
        shares = [f"{counted[it] / total:.0%}" for it in ("supported", "contradicted", "cannot_tell")]
        cells = [self.check, self.case, "right" if self.is_claim_right else "wrong", str(total), *shares]
        return f"| {' | '.join(cells)} |"


class Bench:
    """Ask `verify` and count its verdicts."""

    def __init__(self) -> None:
        self._tester = OperationTester(Verify)
        self._random = random.Random(SEED)
        self._photographs = photographs()

    def rows(self) -> Iterable[Row]:
        """All lines, check by check."""
        yield from self._integrity()
        yield from self._measured("sharpness", SHARPNESS)
        yield from self._measured("exposure", EXPOSURE)
        yield from self._blank()
        yield from self._text()
        yield from self._label()

    def _row(self, check: str, case: str, right: bool, asked: Iterable[tuple[bytes, Mapping[str, Any]]]) -> Row:
        verdicts: list[str] = []
        for data, expected in asked:
            answer = self._tester.run(data, {"expect": expected}, declared_type="image/jpeg").output
            verdicts.extend(it["verdict"] for it in answer["checks"] if it["name"] == check)
        return Row(check, case, right, verdicts)

    def _integrity(self) -> Iterable[Row]:
        for name, options in damage.FORMATS.items():
            files = [encoded(it.image, **options) for it in self._photographs]
            yield self._row("integrity", f"{name}, whole", True, ((data, {}) for data in files))
            for kind, harm in damage.KINDS.items():
                harmed = [harm(data, self._random) for data in files for _ in range(ROUNDS)]
                yield self._row("integrity", f"{name}, {kind}", False, ((data, {}) for data in harmed))

    def _measured(self, check: str, changes: Mapping[str, Callable[[Image.Image], Image.Image]]) -> Iterable[Row]:
        yield self._row(check, "as it is", True, ((it.data, {}) for it in self._photographs))
        for name, change in changes.items():
            files = [encoded(change(it.image)) for it in self._photographs]
            yield self._row(check, name, False, ((data, {}) for data in files))

    def _blank(self) -> Iterable[Row]:
        yield self._row("not_blank", "as it is", True, ((it.data, {}) for it in self._photographs))
        noise = np.random.default_rng(SEED)
        for name, colour in BLANK.items():
            grounds = [np.full((480, 640, 3), colour) + noise.normal(0, spread, (480, 640, 3)) for spread in range(6)]
            files = [encoded(Image.fromarray(np.clip(it, 0, 255).astype(np.uint8))) for it in grounds]
            yield self._row("not_blank", f"{name} with noise", False, ((data, {}) for data in files))

    def _text(self) -> Iterable[Row]:
        written = [(phrase, _with_text(it, phrase)) for it in self._photographs for phrase in self._phrases(ROUNDS)]
        yield self._row("text", "the text that is there", True, ((data, {"text": text}) for text, data in written))
        wrong = [(self._phrases(1)[0], data) for _, data in written]
        yield self._row("text", "another text", False, ((data, {"text": text}) for text, data in wrong))
        near = [(self._with_another_digit(text), data) for text, data in written]
        yield self._row("text", "the text with another digit", False, ((data, {"text": text}) for text, data in near))

    def _label(self) -> Iterable[Row]:
        shown = [it for it in self._photographs if it.labels]
        right = [(it.data, {"label": label}) for it in shown for label in it.labels]
        yield self._row("label", "what it shows", True, right)
        wrong = [
            (it.data, {"label": label}) for it in self._photographs for label in WRONG_LABELS if label not in it.labels
        ]
        yield self._row("label", "what it does not show", False, wrong)
        unknown = [(it.data, {"label": label}) for it in self._photographs for label in it.unnamed]
        yield self._row("label", "what it shows beside its subject", True, unknown)

    def _phrases(self, count: int) -> list[str]:
        pick = self._random
        return [f"{' '.join(pick.sample(WORDS, 2))} {pick.randrange(10, 100_000)}".title() for _ in range(count)]

    def _with_another_digit(self, text: str) -> str:
        last = int(text[-1])
        return text[:-1] + str((last + self._random.randrange(1, 10)) % 10)


def _with_text(photograph: Photograph, phrase: str) -> bytes:
    picture = photograph.image.copy()
    height = max(16, picture.height // 20)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=height)
    place = (picture.width // 20, picture.height // 2)
    pen.text(place, phrase, fill="white", font=font, stroke_width=max(1, height // 12), stroke_fill="black")
    return encoded(picture)


HEAD = """
{count} photographs that installed packages carry, as they are and damaged. A claim that is wrong should be contradicted
(the true positives), one that is right supported; what is contradicted of it is a false positive.

| check | case | claim | images | supported | contradicted | can't tell |
|---|---|---|---|---|---|---|
"""


def main() -> None:
    """Measure, showing each line as it is known, and write the chapter."""
    lines = []
    for row in Bench().rows():
        sys.stdout.write(f"{row}\n")
        lines.append(str(row))
    made_by = report.made_by("python -m benchmarks.quality.verify", Verify)
    chapters.write(chapters.VERIFY, made_by + HEAD.format(count=len(photographs())) + "\n".join(lines))


if __name__ == "__main__":
    main()
