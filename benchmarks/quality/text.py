"""Text in odd pages and in photographs, read by two versions: what is read, what it takes.

    python -m benchmarks.quality.text [--old COMMIT] [--photographs FOLDER ...]

The old version is taken out of the repository. Each row is answered by a process of its own for each version, one after
the other, so that its memory is its own. FOLDER holds more photographs, JPEG or PNG, beside those of packages.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from benchmarks.quality import chapters, fetch, reading, report
from benchmarks.quality.versions import PATHS, TREE, Version
from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext
from imagebatch_vision.describe import Describe, DescribeParameters

OLD = "751df0b"
_PARAMETERS = DescribeParameters(max_text_lines=500)
_MOST_PHOTOGRAPHS = 240
_WORDS = reading.TEXT.split()


@dataclass(frozen=True)
class Page:
    """A picture of known text."""

    lines: Sequence[str]
    picture: PillowImage.Image
    file_format: str = "PNG"

    @property
    def data(self) -> bytes:
        """Its file."""
        stream = io.BytesIO()
        self.picture.save(stream, self.file_format, quality=85)
        return stream.getvalue()


@dataclass(frozen=True)
class Answer:
    """What a version made of a row."""

    pictures: int
    characters: int
    edits: int
    lines: int
    """Read, right or not."""
    with_text: int
    """Pictures in which some was read."""
    cpu_s: float
    """Processor time a picture."""
    peak_mb: float
    called: str
    """The medium and the verdicts of the last picture."""


def page(width: int, height: int, letters_px: int) -> Page:
    """Fill a white page with lines, twice as far from each other as their letters are high."""
    pick, font = random.Random(reading.SEED), ImageFont.truetype(str(reading.FONTS / "DejaVuSans.ttf"), letters_px)
    picture = PillowImage.new("RGB", (width, height), "white")
    pen, lines = ImageDraw.Draw(picture), []
    for top in range(2 * letters_px, height - 2 * letters_px, 2 * letters_px):
        words = [pick.choice(_WORDS)]
        while font.getlength(" ".join([*words, next_word := pick.choice(_WORDS)])) < width - 80:
            words.append(next_word)
        lines.append(" ".join(words))
        pen.text((40, top), lines[-1], font=font, fill=(25, 25, 25))
    return Page(lines, picture)


def _turned(degrees: int) -> Page:
    upright = page(900, 700, 18)
    return Page(upright.lines, upright.picture.rotate(degrees, expand=True))


def _grainy(whole: Page) -> Page:
    """As a telephone sees it."""
    grain = np.random.default_rng(reading.SEED).normal(0, 5, (*whole.picture.size[::-1], 1))
    pixels = np.clip(np.asarray(whole.picture, dtype=np.float64) + grain, 0, 255).astype(np.uint8)
    return Page(whole.lines, PillowImage.fromarray(pixels), "JPEG")


PAGES: Mapping[str, Callable[[], Page]] = {
    "page, 900 x 700": lambda: _turned(0),
    "turned by 90 degrees": lambda: _turned(90),
    "turned by 180 degrees": lambda: _turned(180),
    "turned by 270 degrees": lambda: _turned(270),
    "turned by 180 degrees, grainy JPEG": lambda: _grainy(_turned(180)),
    "screenshot, 1080 x 6000": lambda: page(1080, 6000, 28),
    "the same, grainy JPEG": lambda: _grainy(page(1080, 6000, 28)),
    "banner, 6000 x 400": lambda: page(6000, 400, 36),
}
PHOTOGRAPHS = "photographs"


def photographs(folders: Sequence[Path]) -> Iterator[bytes]:
    """Every file of the packages, and some of each folder, evenly chosen."""
    for it in fetch.photographs():
        yield it.path.read_bytes()
    for folder in folders:
        files = sorted(it for it in folder.rglob("*") if it.suffix.lower() in (".jpg", ".jpeg", ".png"))
        for path in files[:: max(1, len(files) // _MOST_PHOTOGRAPHS)]:
            yield path.read_bytes()


def answer(row: str, folders: Sequence[Path]) -> Answer:
    """Answer a row in this process, with the version that is imported."""
    describe = Describe()
    describe.load()
    texts, pictures = ([""], photographs(folders))
    if row != PHOTOGRAPHS:
        known = PAGES[row]()
        texts, pictures = [" ".join(known.lines)], iter([known.data])
    edits = lines = with_text = count = 0
    cpu_s, called = 0.0, ""
    for data in pictures:
        begun_s = time.process_time()
        output = describe.run(Image.open(data), _PARAMETERS, ItemContext(item_index=0))
        cpu_s += time.process_time() - begun_s
        read = output.visible_text or []
        edits += reading.distance(texts[0], " ".join(read)) if texts[0] else 0
        lines, with_text, count = lines + len(read), with_text + bool(read), count + 1
        called = ", ".join([output.medium, *output.quality.verdicts])
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Answer(count, len(texts[0]), edits, lines, with_text, cpu_s / count, peak_mb, called)


def ask(row: str, version: Version, folders: Sequence[Path]) -> Answer:
    """Answer a row by a process of that version. Raises CalledProcessError where it fails."""
    paths = os.pathsep.join(str(version.folder / part) for part in PATHS)
    command = [sys.executable, "-m", "benchmarks.quality.text", "--answer", row]
    command += [part for folder in folders for part in ("--photographs", str(folder))]
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(command, cwd=TREE, env=environment, stdout=subprocess.PIPE, check=True)
    return Answer(**json.loads(done.stdout))


HEAD = """
Old is commit {old}, new what was there on that day, each in a process of its own; `max_text_lines` 500. The time is the
processor's, of the whole description; the memory is the process's at most.

| picture | characters | error rate, old | new | time, old | new | memory, old | new | called, old | new |
|---|---|---|---|---|---|---|---|---|---|
"""
PHOTOGRAPHS_HEAD = """
Photographs as they are ({names}), `read_text` `auto`: nothing tells which of their text there is to read, so that what
can be compared is how much is.

| version | photographs | of them with lines | lines | time a photograph | memory |
|---|---|---|---|---|---|
"""


def _page_row(name: str, old: Answer, new: Answer) -> str:
    pairs = (
        [f"{it.edits / it.characters:.2%}" for it in (old, new)]
        + [f"{it.cpu_s:.1f} s" for it in (old, new)]
        + [f"{it.peak_mb:.0f} MB" for it in (old, new)]
        + [it.called for it in (old, new)]
    )
    return f"| {name} | {new.characters} | {' | '.join(pairs)} |\n"


def _photograph_row(name: str, it: Answer) -> str:
    return (
        f"| {name} | {it.pictures} | {it.with_text} | {it.lines} | {it.cpu_s * 1000:.0f} ms | {it.peak_mb:.0f} MB |\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.text", description="Compare how text is read.")
    parser.add_argument("--old", default=OLD, metavar="COMMIT", help="the version to compare with (%(default)s)")
    parser.add_argument("--photographs", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--answer", choices=[*PAGES, PHOTOGRAPHS], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer is not None:
        sys.stdout.write(json.dumps(asdict(answer(arguments.answer, arguments.photographs))))
        return
    old, new = Version.of_commit(arguments.old), Version.of_tree()
    text = report.made_by("python -m benchmarks.quality.text", Describe) + HEAD.format(old=arguments.old)
    for name in PAGES:
        row = _page_row(name, ask(name, old, ()), ask(name, new, ()))
        text += row
        sys.stderr.write(row)
    text += PHOTOGRAPHS_HEAD.format(names=", ".join(["the packages'", *(it.name for it in arguments.photographs)]))
    for name, version in (("old", old), ("new", new)):
        text += _photograph_row(name, ask(PHOTOGRAPHS, version, arguments.photographs))
    chapters.write(chapters.TEXT, text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
