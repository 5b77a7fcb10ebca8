"""What of a file makes its picture, told apart from what stands beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from imagebatch_server.images.colour_spaces import HighRange

_MOST_MISSING = 64 * 1024 * 1024


class Core(msgspec.Struct, frozen=True, eq=False):
    """The bytes that a decoder is given, and what the rest of the file says of the picture.

    Comments, previews, videos and damage that stand beside the picture never reach a decoder, so they can't decide
    whether it is read.
    """

    format: str
    """Of `data`: that of the file, but for a camera's raw file, of which a preview is shown."""
    data: bytes
    """A file of its own, of nothing but what makes the picture; often the whole file."""
    is_truncated: bool = False
    """The file ends before the picture does."""
    find_damage: Callable[[], str | None] | None = None
    """Looks for a fault within the picture that its decoder passes over; see `damage`."""
    find_blemish: Callable[[], str | None] | None = None
    """Looks for a fault beside the picture; see `blemish`."""
    icc_profile: bytes | None = None
    exif: bytes | None = None
    """Empty where the file has none; None where the decoder is to be asked, as for XMP."""
    xmp: bytes | None = None
    frame_count: int | None = None
    """Frames or pages; None where the decoder knows them from the header."""
    areas: Sequence[tuple[int, int, int, int]] = ()
    """The part of a GIF's screen that each frame covers: left, top, right, bottom. What none does stays clear."""
    high_range: HighRange | None = None
    """Colours of high dynamic range, which no profile describes."""

    @property
    def damage(self) -> str | None:
        """A fault within the picture that its decoder passes over, in words: `the checksum of its IDAT chunk is wrong`.

        Looked for anew each time it is asked for.
        """
        return None if self.find_damage is None else self.find_damage()

    @property
    def blemish(self) -> str | None:
        """A fault beside the picture, in words: `the checksum of its tEXt chunk is wrong`; looked for each time too."""
        return None if self.find_blemish is None else self.find_blemish()


def stray_bytes(count: int, parts: str) -> Callable[[], str] | None:
    """Make the `find_blemish` of a file with so many bytes between its parts."""
    found = "a byte between its {} belongs to none" if count == 1 else f"{count} bytes between its {{}} belong to none"
    return (lambda: found.format(parts)) if count else None


def completed(part: bytes, size: int, filler: bytes = b"\0") -> bytes:
    """Fill what there is of a part up to `size` bytes.

    Decoders that refuse a file that is cut off then show its picture down to there, and arbitrary shades below. Not
    filled up where far more is missing than any file lacks by accident.
    """
    missing = size - len(part)
    return part + filler * missing if 0 < missing <= _MOST_MISSING else part
