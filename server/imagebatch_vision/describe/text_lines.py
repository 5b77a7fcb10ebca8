"""The lines of one picture: each read once, whichever way up they stand."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from imagebatch_vision.describe.text_direction import is_standing, length_of, turned
from imagebatch_vision.describe.text_map import Quad
from imagebatch_vision.describe.text_recognition import LineRecogniser, TurnJudge, cut_out

LEAST_SCORE = 0.90
_LEAST_CHARACTERS = 2
_SAMPLE = 3
"""So many lines, the longest, tell which way up all of one kind stand."""


class TextLines:
    """What stands in the boxes of one RGB picture."""

    def __init__(self, picture: Image.Image, recogniser: LineRecogniser, turn_judge: TurnJudge) -> None:
        self._picture = picture
        self._recogniser = recogniser
        self._turn_judge = turn_judge
        self._read: dict[bytes, tuple[str, float]] = {}

    def read(self, quad: Quad) -> tuple[str, float]:
        """Answer what a box holds, read from its first corner on, and the mean probability of its characters."""
        key = quad.tobytes()
        if key not in self._read:
            self._read[key] = self._recogniser.read(cut_out(self._picture, quad))
        return self._read[key]

    def upright(self, quads: Sequence[Quad]) -> list[Quad]:
        """Name each box's corners as its text is read: lying ones are upright or upside down, standing ones turned."""
        standing = [turned(quad, 1) for quad in quads if is_standing(quad)]
        lying = [quad for quad in quads if not is_standing(quad)]
        return [quad for alike in (lying, standing) for quad in self._righted(alike)]

    def _righted(self, quads: Sequence[Quad]) -> list[Quad]:
        """Turn all of them by half, if their longest can be read so and can't as they are."""
        sample = sorted(quads, key=length_of)[-_SAMPLE:]
        other = [turned(quad, 2) for quad in sample]
        read = self._legible(sample)
        if 2 * read > len(sample) or not self._seem_upside_down(sample, other) or self._legible(other) <= read:
            return list(quads)
        return [turned(quad, 2) for quad in quads]

    def _legible(self, quads: Sequence[Quad]) -> int:
        return sum(is_legible(*self.read(quad)) for quad in quads)

    def _seem_upside_down(self, quads: Sequence[Quad], other: Sequence[Quad]) -> bool:
        """Ask the cheaper model, which is right of most lines, though not of each."""
        as_they_are, turned_by_half = (
            sum(self._turn_judge.is_upside_down(cut_out(self._picture, quad)) for quad in them)
            for them in (quads, other)
        )
        return as_they_are > turned_by_half


def is_legible(text: str, score: float) -> bool:
    """Whether what was read is worth telling."""
    return score >= LEAST_SCORE and sum(character.isalnum() for character in text) >= _LEAST_CHARACTERS
