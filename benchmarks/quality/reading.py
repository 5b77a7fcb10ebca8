"""How well text is read: rendered, as if scanned, and drawn into photographs; and whether it is looked for at all."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFilter, ImageFont

from benchmarks.quality.fetch import Photograph
from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext
from imagebatch_vision.describe import Describe, DescribeOutput, DescribeParameters

SEED = 7
PAGES = 4
"""Of each kind."""
LINES = 14
PARAMETERS = DescribeParameters(max_text_lines=100)

FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"
_FACES = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "DejaVuSerif-Italic.ttf")
TEXT = (
    "the annual report of the library shows that 1,482 readers borrowed books in March while the reading room stayed "
    "open until 22:30 on Friday evening; costs rose by 4.7 % and the council agreed to pay for new shelves a garden "
    "wall heating windows and a lift so that everybody can reach the upper floor without help from the staff"
)


def scanned(page: PillowImage.Image, *, degrees: float, blur_px: float, noise: float) -> PillowImage.Image:
    """As a flatbed or a telephone would see it: turned, unsharp, grainy, unevenly lit, saved as JPEG."""
    generator = np.random.default_rng(SEED)
    turned = page.rotate(degrees, PillowImage.Resampling.BICUBIC, fillcolor="white")
    pixels = np.asarray(turned.filter(ImageFilter.GaussianBlur(blur_px)), dtype=np.float64)
    light = np.linspace(1.0, 0.82, pixels.shape[1])[None, :, None]
    grainy = np.clip(pixels * light + generator.normal(0, noise, pixels.shape), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    PillowImage.fromarray(grainy).save(stream, "JPEG", quality=60)
    return PillowImage.open(stream)


CONDITIONS: Mapping[str, Callable[[PillowImage.Image], PillowImage.Image]] = {
    "rendered": lambda page: page,
    "scanned well (0.5 degrees, blur 0.6 px, noise 6)": lambda page: scanned(page, degrees=0.5, blur_px=0.6, noise=6),
    "scanned badly (1.5 degrees, blur 1.2 px, noise 14)": lambda page: scanned(
        page, degrees=1.5, blur_px=1.2, noise=14
    ),
}
HEIGHTS_PX = (14, 18, 26)


@dataclass(frozen=True)
class Reading:
    """One row: pages of one size of letters in one condition."""

    condition: str
    height_px: int
    characters: int
    edits: Sequence[int]
    """Of each page: characters inserted, removed or replaced."""
    seconds: float
    """A page."""

    @property
    def error_rate(self) -> float:
        """Edits by characters."""
        return sum(self.edits) / self.characters


@dataclass(frozen=True)
class Gate:
    """Whether text is looked for where there is some."""

    height_share: float
    """Of the picture's height."""
    read: Sequence[bool]
    """Of each photograph: whether the words were read, three letters of four right."""


class Bench:
    """Read pages of known text with `describe`."""

    def __init__(self) -> None:
        self._describe = Describe()
        self._describe.load()
        self._random = random.Random(SEED)

    def pages(self) -> Iterable[Reading]:
        """All conditions and sizes."""
        for height_px in HEIGHTS_PX:
            pages = [self._page(height_px, _FACES[number % len(_FACES)]) for number in range(PAGES)]
            for condition, change in CONDITIONS.items():
                edits = []
                started_at = time.perf_counter()
                for text, page in pages:
                    edits.append(distance(text, " ".join(self._read(change(page)).visible_text or [])))
                seconds = (time.perf_counter() - started_at) / len(pages)
                yield Reading(condition, height_px, sum(len(text) for text, _ in pages), edits, seconds)

    def gate(self, photographs: Sequence[Photograph]) -> Iterable[Gate]:
        """Words drawn into photographs, at several sizes."""
        for share in (1 / 40, 1 / 25, 1 / 15, 1 / 8):
            found = []
            for photograph in photographs:
                words = " ".join(self._random.sample(["GARDEN", "EXIT", "MARKET", "STATION", "MUSEUM", "HOTEL"], 2))
                read = " ".join(self._read(_drawn(photograph, words, share)).visible_text or [])
                found.append(_holds(read, words))
            yield Gate(share, found)

    def _read(self, picture: PillowImage.Image) -> DescribeOutput:
        stream = io.BytesIO()
        picture.convert("RGB").save(stream, "PNG")
        return self._describe.run(Image.open(stream.getvalue()), PARAMETERS, ItemContext(item_index=0))

    def _page(self, height_px: int, face: str) -> tuple[str, PillowImage.Image]:
        font = ImageFont.truetype(str(FONTS / face), height_px)
        lines = [" ".join(self._random.choices(TEXT.split(), k=9)) for _ in range(LINES)]
        width = max(round(font.getlength(line)) for line in lines) + 4 * height_px
        page = PillowImage.new("RGB", (width, (LINES + 2) * height_px * 8 // 5), "white")
        pen = ImageDraw.Draw(page)
        for row, line in enumerate(lines):
            pen.text((2 * height_px, (row + 1) * height_px * 8 // 5), line, font=font, fill=(25, 25, 25))
        return " ".join(lines), page


def distance(one: str, other: str) -> int:
    """Levenshtein's, in characters."""
    goal = np.array([ord(it) for it in other], dtype=np.int64)
    steps = np.arange(len(goal) + 1)
    row = steps.copy()
    for place, letter in enumerate(one, start=1):
        moved = np.concatenate([[place], np.minimum(row[1:] + 1, row[:-1] + (goal != ord(letter)))])
        row = np.minimum.accumulate(moved - steps) + steps
    return int(row[-1])


def _holds(read: str, words: str) -> bool:
    plain = read.upper()
    gaps = [distance(words, plain[start : start + len(words)]) for start in range(max(1, len(plain) - len(words) + 1))]
    return min(gaps) <= len(words) // 4


def _drawn(photograph: Photograph, words: str, height_share: float) -> PillowImage.Image:
    picture = PillowImage.open(photograph.path).convert("RGB")
    height = max(8, round(picture.height * height_share))
    pen, font = ImageDraw.Draw(picture), ImageFont.truetype(str(FONTS / "DejaVuSans-Bold.ttf"), height)
    place = picture.width // 20, picture.height * 3 // 4
    pen.text(place, words, fill="white", font=font, stroke_width=max(1, height // 12), stroke_fill="black")
    return picture
