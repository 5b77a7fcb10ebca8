"""Files that are made to hurt decoders: bombs, giants, cut and changed ones."""

from __future__ import annotations

import random
import sysconfig
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.unit.images.crafted import chunk, encoded, gif, jpeg_resized, photo, png, tiff
from tests.unit.images.test_decode_hostile import GIANTS, INFLATING, LATER_GIANTS
from tests.unit.images.test_decode_mutations import FILES
from tests.unit.images.test_formats import UNSUPPORTED, heic, jxl

from imagebatch_server.images.header import looks_like, sniff

MIB = 1024 * 1024
MOST_CHANGES = 3
LARGEST_BYTES = 400_000
"""Of the installed packages' pictures, so that a batch of them is quickly sent."""
SUFFIXES = frozenset(
    f".{it}"
    for it in (
        "avif", "bmp", "cr2", "cur", "dng", "gif", "heic", "ico", "icns", "j2k", "jp2", "jpeg", "jpg", "jxl", "pgm",
        "png", "ppm", "psd", "svg", "tif", "tiff", "webp",
    )
)  # fmt: skip


def bombs() -> Mapping[str, bytes]:
    """By name: few bytes that claim or become many, and files that are no image."""
    named = {
        **{f"giant {name}": make() for name, make in GIANTS.items()},
        **{f"inflating {name}": png(1, 1, part, rows=bytes(4)) for name, part in INFLATING.items()},
        **{f"later giant, {name}": make() for name, make in LATER_GIANTS.items()},
        "just within the limit": png(10_000, 10_000, rows=bytes(100_010_000), depth=8, colour=0),
        "pixels that inflate": png(1, 1, rows=bytes(100 * MIB)),
        "zero width": png(0, 64),
        "zero height": jpeg_resized(encoded(photo(), "jpeg"), 64, 0),
        "no frame": gif(10, 10),
        "no tags": tiff([]),
        "empty": b"",
        "text": b"not a picture\n",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file\n",
        "zeros": bytes(100_000),
        "texts": png(1, 1, *[chunk(b"tEXt", b"x\0" + bytes(1_000))] * 2_000, rows=bytes(4)),
    }
    halves = {f"half a {name}": data[: len(data) // 2] for name, data in FILES.items()}
    return named | halves


@cache
def installed() -> Mapping[str, bytes]:
    """List the pictures that installed packages carry: their samples, icons and the tests' own."""
    root = Path(sysconfig.get_paths()["purelib"])
    paths = (it for it in sorted(root.rglob("*")) if it.suffix.lower() in SUFFIXES and it.is_file())
    found = {str(it.relative_to(root)): it.read_bytes() for it in paths if it.stat().st_size <= LARGEST_BYTES}
    return {name: data for name, data in found.items() if sniff(data) or looks_like(data).is_picture}


@cache
def drawn() -> Mapping[str, bytes]:
    """Make files of every format, those of the extras where these are installed."""
    made = {**FILES, **UNSUPPORTED}
    if find_spec("pi_heif") and find_spec("pillow_heif"):
        made["heic"] = heic(photo())
    if find_spec("pylibjxl"):
        made["jpeg xl"] = jxl(photo())
    return made


def at_hand() -> Mapping[str, bytes]:
    """Every picture that there is to try: drawn ones, those of packages, and those with features that aren't read."""
    return {**drawn(), **installed()}


def mutations(chance: random.Random, count: int) -> Iterator[bytes]:
    """Real files of every format with bytes changed, cut, doubled and moved: drawn ones, and those of packages."""
    sources = [sorted(drawn().items()), sorted(installed().items())]
    for _ in range(count):
        data = bytearray(chance.choice(chance.choice(sources))[1])
        for _ in range(chance.randint(1, MOST_CHANGES)):
            _change(data, chance)
        yield bytes(data)


def _change(data: bytearray, chance: random.Random) -> None:
    # Most of what a decoder believes stands at the start of a file.
    at = int(len(data) * chance.random() ** chance.choice([1, 4]))
    end = at + chance.randint(1, 64)
    how = chance.randrange(5)
    if how == 0:
        data[at:end] = chance.choice([b"\0", b"\x7f", b"\x80", b"\xff"]) * chance.randint(1, 8)
    elif how == 1:
        data[at:at] = chance.randbytes(chance.randint(1, 32))
    elif how == 2:
        data[at:at] = data[at:end]
    elif how == 3:
        del data[at:end]
    else:
        for place in range(at, min(end, len(data))):
            data[place] ^= 1 << chance.randrange(8)
