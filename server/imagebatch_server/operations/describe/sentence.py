"""Findings put into English, saying nothing that they don't bear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagebatch_server.operations.describe.calibration import CEILING, Suggestion
from imagebatch_server.operations.describe.colours import Colour, Palette
from imagebatch_server.operations.describe.medium import Medium
from imagebatch_server.operations.describe.quality import Verdict
from imagebatch_server.operations.describe.reader import Line

_QUOTED_FROM = 0.60
_QUOTED_LINES = 3
_QUOTED_CHARACTERS = 80
_PAGE_CHARACTERS = 120
_MAIN_SHARE = 0.15
_MOSTLY_SHARE = 0.50

_NOUNS: dict[Medium, str] = {"photograph": "photograph", "unknown": "image", "graphic": "drawing, chart or screenshot"}
_ADJECTIVES: dict[Verdict, str] = {"low contrast": "low-contrast"}


@dataclass(frozen=True)
class Findings:
    """What was found in one image."""

    medium: Medium
    subject: Suggestion | None
    """The subject to name."""
    best_guess: float
    """The confidence of the likeliest subject, named or not; 0 where none was looked for."""
    lines: Sequence[Line]
    palette: Palette
    verdicts: Sequence[Verdict]
    width: int
    height: int
    frame_count: int


@dataclass(frozen=True)
class Sentence:
    """A description and the probability that its weakest statement is right."""

    text: str
    confidence: float


def compose(findings: Findings) -> Sentence:
    """Describe the findings in one to three sentences."""
    if findings.medium == "blank":
        return Sentence(f"A blank image, plain {findings.palette.colours[0].name}.{_frames(findings)}", 1.0)
    quoted = [line for line in findings.lines if line.confidence >= _QUOTED_FROM]
    if findings.medium == "page":
        return _page(findings, quoted)
    shown = quoted[:_QUOTED_LINES]
    text = f"{_opening(findings)}.{_text(shown, len(quoted))}{_frames(findings)}"
    if findings.subject is None and not (findings.medium == "graphic" and shown):
        return Sentence(text, findings.best_guess)
    stated = [line.confidence for line in shown]
    if findings.subject is not None:
        stated.append(findings.subject.confidence)
    return Sentence(text, min([*stated, CEILING]))


def _page(findings: Findings, quoted: Sequence[Line]) -> Sentence:
    if not quoted:
        best = max((line.confidence for line in findings.lines), default=0.0)
        return Sentence(f"A page of text, no line of which was read with certainty.{_frames(findings)}", best)
    begins, used = _beginning(quoted)
    text = f'A page of text that begins "{begins}".{_frames(findings)}'
    return Sentence(text, min(line.confidence for line in used))


def _opening(findings: Findings) -> str:
    adjectives = [_ADJECTIVES.get(verdict, verdict) for verdict in findings.verdicts]
    if findings.palette.is_grey and findings.medium == "photograph":
        adjectives.append("black-and-white")
    noun = _NOUNS[findings.medium]
    what = _with_article(f"{', '.join(adjectives)} {noun}".strip())
    colours = _colours(findings.palette)
    if findings.subject is not None:
        return f"{what} of what looks like {findings.subject.term.phrase}{colours}"
    size = f", {findings.width} by {findings.height} pixels"
    return f"{what}{colours}{size}; the subject was not recognised"


def _with_article(words: str) -> str:
    return f"{'An' if words[0] in 'aeiou' else 'A'} {words}"


def _colours(palette: Palette) -> str:
    """The two main colours where they make up half of the picture, else the three largest as some of many."""
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


def _text(shown: Sequence[Line], legible: int) -> str:
    if not shown:
        return ""
    quotes = [f'"{_short(line.text, _QUOTED_CHARACTERS)}"' for line in shown]
    more = legible - len(shown)
    if more:
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


def _frames(findings: Findings) -> str:
    if findings.frame_count == 1:
        return ""
    return f" It is the first of {findings.frame_count} frames; the others were not looked at."


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
