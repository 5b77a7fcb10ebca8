"""Findings put into English, saying nothing that they don't bear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from imagebatch_vision.describe.calibration import CEILING
from imagebatch_vision.describe.colours import Colour, Palette
from imagebatch_vision.describe.medium import Medium
from imagebatch_vision.describe.quality import Verdict
from imagebatch_vision.describe.reader import Line
from imagebatch_vision.describe.statements import Statement

_QUOTED_FROM = 0.60
_QUOTED_LINES = 3
_QUOTED_CHARACTERS = 80
_PAGE_CHARACTERS = 120
_MAIN_SHARE = 0.15
_MOSTLY_SHARE = 0.50
_DETAIL_BELOW = 0.03
_CLOCKS_SET_FROM = 1990
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

_NOUNS: dict[Medium, str] = {"photograph": "photograph", "unknown": "image", "graphic": "drawing, chart or screenshot"}
_ADJECTIVES: dict[Verdict, str] = {"low contrast": "low-contrast"}


@dataclass(frozen=True)
class Findings:
    """What was found in one image."""

    medium: Medium
    statements: Sequence[Statement]
    """What to name, the main thing first."""
    best_guess: float
    """The confidence of the likeliest subject, named or not; 0 where none was looked for."""
    lines: Sequence[Line]
    is_cut: bool
    """There is more text than was read."""
    palette: Palette
    verdicts: Sequence[Verdict]
    width: int
    height: int
    frame_count: int
    captured_at: datetime | None


@dataclass(frozen=True)
class Sentence:
    """A description, the probability that its weakest statement is right, and the lines that it quotes."""

    text: str
    confidence: float
    quoted: Sequence[Line]


def compose(findings: Findings) -> Sentence:
    """Describe the findings in one to four sentences."""
    if findings.medium == "blank":
        return Sentence(f"A blank image, plain {findings.palette.colours[0].name}.{_frames(findings)}", 1.0, ())
    legible = [line for line in findings.lines if line.confidence >= _QUOTED_FROM]
    if findings.medium == "page":
        return _page(findings, legible)
    shown = legible[:_QUOTED_LINES]
    text = f"{_opening(findings)}.{_text(shown, len(legible), findings.is_cut)}{_taken(findings)}{_frames(findings)}"
    if not findings.statements and not (findings.medium == "graphic" and shown):
        return Sentence(text, findings.best_guess, shown)
    stated = [line.confidence for line in shown] + [it.confidence for it in findings.statements]
    return Sentence(text, min([*stated, CEILING]), shown)


def _page(findings: Findings, legible: Sequence[Line]) -> Sentence:
    end = f"{_taken(findings)}{_frames(findings)}"
    if not legible:
        best = max((line.confidence for line in findings.lines), default=0.0)
        return Sentence(f"A page of text, no line of which was read with certainty.{end}", best, ())
    begins, used = _beginning(legible)
    read = " Only part of it was read." if findings.is_cut else ""
    text = f'A page of text that begins "{begins}".{read}{end}'
    return Sentence(text, min(line.confidence for line in used), used)


def _opening(findings: Findings) -> str:
    adjectives = [_ADJECTIVES.get(verdict, verdict) for verdict in findings.verdicts]
    if findings.palette.is_grey and findings.medium == "photograph":
        adjectives.append("black-and-white")
    noun = _NOUNS[findings.medium]
    what = _with_article(f"{', '.join(adjectives)} {noun}".strip())
    colours = _colours(findings.palette)
    if findings.statements:
        main, *others = (it.hedged for it in findings.statements)
        extras = f" with {_and(others)}" if others else ""
        if _is_detail(findings.statements):
            return f"{what}{colours}, in which {main} can be made out{extras}; the rest was not recognised"
        return f"{what} of {main}{extras}{colours}"
    size = f", {findings.width} by {findings.height} pixels"
    return f"{what}{colours}{size}; the subject was not recognised"


def _is_detail(statements: Sequence[Statement]) -> bool:
    """Nothing but small things was recognised, so they can't be what the picture is of."""
    return all(0.0 < it.area < _DETAIL_BELOW for it in statements)


def _with_article(words: str) -> str:
    return f"{'An' if words[0] in 'aeiou' else 'A'} {words}"


def _colours(palette: Palette) -> str:
    """Name the two main colours where they make up half of the picture, else the three largest as some of many."""
    if palette.is_grey:
        return ""
    shares = _by_hue(palette)
    main = [name for name, share in shares.items() if share >= _MAIN_SHARE][:2]
    if sum(shares[name] for name in main) >= _MOSTLY_SHARE:
        return f", mostly {_and(main)}"
    return f", in {_and(list(shares)[:3])} among other colours" if shares else ", in many colours"


def _by_hue(palette: Palette) -> dict[str, float]:
    """Shares by name, largest first; several shades of one hue count together (grey for grey and dark grey)."""
    shades: dict[str, list[Colour]] = {}
    for colour in palette.colours:
        shades.setdefault(colour.name.rpartition(" ")[2], []).append(colour)
    shares = {
        same[0].name if len(same) == 1 else hue: sum(colour.share for colour in same) for hue, same in shades.items()
    }
    return dict(sorted(shares.items(), key=lambda it: -it[1]))


def _text(shown: Sequence[Line], legible: int, is_cut: bool) -> str:
    if not shown:
        return ""
    quotes = [f'"{_short(line.text, _QUOTED_CHARACTERS)}"' for line in shown]
    more = legible - len(shown)
    if is_cut:
        quotes.append("more that was not read")
    elif more:
        quotes.append(f"{more} more {'line' if more == 1 else 'lines'}")
    return f" It shows the text {_and(quotes)}."


def _beginning(lines: Sequence[Line]) -> tuple[str, list[Line]]:
    used: list[Line] = []
    for line in lines:
        used.append(line)
        if sum(len(it.text) + 1 for it in used) > _PAGE_CHARACTERS:
            break
    return _short(" ".join(line.text for line in used), _PAGE_CHARACTERS, cut=len(used) < len(lines)), used


def _short(text: str, limit: int, *, cut: bool = False) -> str:
    text = text.replace('"', "'")
    if len(text) > limit:
        head, _, _ = text[:limit].rpartition(" ")
        return f"{head or text[:limit]} …"
    return f"{text} …" if cut else text


def _taken(findings: Findings) -> str:
    """Give the date by the camera's clock, unless that was plainly never set."""
    taken = findings.captured_at
    if taken is None or taken.year < _CLOCKS_SET_FROM:
        return ""
    return f" Taken on {taken.day} {_MONTHS[taken.month - 1]} {taken.year}, by the camera's clock."


def _frames(findings: Findings) -> str:
    if findings.frame_count == 1:
        return ""
    return f" It is the first of {findings.frame_count} frames; the others were not looked at."


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
