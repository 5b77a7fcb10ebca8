"""Whether an expected text is among what was read, by a stated measure of likeness."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from imagebatch_vision.verify.output import Check, cannot_tell, contradicted, supported

_WHOLE_WORDS_UP_TO = 4
"""Shorter texts are parts of too many words to be looked for inside them: `cat` in `education`."""

_DIGIT_WEIGHT = 5
"""A wrong digit is another number; a wrong letter is mostly the reader's mistake."""

_READABLE = ("LATIN ", "DIGIT ", "CJK ", "HIRAGANA ", "KATAKANA", "IDEOGRAPHIC ")
"""How Unicode's names of the characters begin that are read reliably. The reading model knows Greek letters too, but as
symbols: of `10 kΩ` it makes what stands there, of a Greek word Latin letters. Other writing it leaves out."""

_CONTRADICTED_BELOW = 0.5
# Of 488 texts of 12 to 48 pixels in photographs, 471 were read to the letter; 12 were missed where other text was read,
# and so wrongly contradicted, and 5 where none was.


def check_text(expected: str, lines: Sequence[str], min_similarity: float) -> Check:
    """Judge whether `lines`, all that was read, hold the expected text."""
    likeness = similarity(expected, lines)
    if likeness >= min_similarity:
        return supported("text", likeness, f"{_quoted(expected)} was read, with a similarity of {likeness:.2f}.")
    unreadable = _unreadable(expected, min_similarity)
    if unreadable:
        only = f"only Latin, Chinese and Japanese writing is read reliably, and {_quoted(unreadable)} is none"
        return cannot_tell("text", f"Whether {_quoted(expected)} is there can't be told: {only}.")
    if not lines:
        return cannot_tell("text", f"No text was read, so whether {_quoted(expected)} is there can't be told.")
    found = f"The text that was read has at most a similarity of {likeness:.2f} with {_quoted(expected)}"
    if likeness < min(_CONTRADICTED_BELOW, min_similarity):
        return contradicted("text", likeness, f"{found}; it begins {_quoted(' '.join(lines))}.")
    return cannot_tell("text", f"{found}, which is too little to be it and too much to be none of it.")


def similarity(expected: str, lines: Sequence[str]) -> float:
    """How like `expected` the most similar part of `lines` is, 0 to 1; see `Expectations.text`."""
    key = "".join(_words(expected))
    words = [word for line in lines for word in _words(line)]
    if not key or not words:
        return 0.0
    text = "".join(words)
    borders = [0, *accumulate(len(word) for word in words)]
    if len(key) > _WHOLE_WORDS_UP_TO or _is_without_spaces(key):  # anywhere, but not inside of a number
        inside = {at for at in range(1, len(text)) if text[at - 1].isdigit() and text[at].isdigit()}
        borders = [at for at in range(len(text) + 1) if at not in inside.difference(borders)]
    return max(0.0, 1.0 - _distance(key, text, borders) / len(key))


def _unreadable(expected: str, min_similarity: float) -> str:
    """Its letters that aren't read, if to miss them all brings the similarity below what is asked; else nothing."""
    key = "".join(_words(expected))
    missed = [it for it in key if not unicodedata.name(it, "").startswith(_READABLE)]
    best = 1.0 - sum(map(_weight, missed)) / len(key) if key else 1.0
    return "".join(dict.fromkeys(missed)) if best < min_similarity else ""


def has_letters(text: str) -> bool:
    """Whether there is anything in it to compare."""
    return any(character.isalnum() for character in text)


def _is_without_spaces(key: str) -> bool:
    """Whether it is Chinese or Japanese, whose words nothing separates."""
    return any(unicodedata.east_asian_width(character) in "WF" for character in key)


def _words(text: str) -> list[str]:
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    letters = (it for it in decomposed if not unicodedata.combining(it))
    return "".join(it if it.isalnum() else " " for it in letters).split()


def _distance(key: str, text: str, borders: Sequence[int]) -> int:
    """Compute the least edit distance of `key` to a part of `text` from one border to another (Sellers 1980)."""
    characters = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    so_far = np.concatenate(([0], np.cumsum([_weight(it) for it in text])))  # what all up to here costs, as too much
    costs = np.full(len(text) + 1, _DIGIT_WEIGHT * len(key) + so_far[-1], dtype=np.int64)
    costs[borders] = 0
    for character in key:
        weight = _weight(character)
        changed = costs[:-1] + weight * (characters != ord(character))
        costs = costs + weight  # the character is missing
        costs[1:] = np.minimum(costs[1:], changed)
        costs = np.minimum.accumulate(costs - so_far) + so_far
    return int(costs[borders].min())


def _weight(character: str) -> int:
    return _DIGIT_WEIGHT if character.isdigit() else 1


def _quoted(text: str) -> str:
    return f'"{text[:80]}"'
