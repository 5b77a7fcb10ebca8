"""The parameter `cross_check`: whether a second look bears out what was stated after the first."""

from __future__ import annotations

from collections.abc import Sequence

from imagebatch_vision.describe.calibration import TAGGED_FROM
from imagebatch_vision.describe.labels import load_vocabulary
from imagebatch_vision.describe.reader import Line
from imagebatch_vision.describe.statements import Statement
from imagebatch_vision.describe.weighing import RecognisedThing, Recognition

_SUBJECT_AREA = 0.5
"""Something that covers so much of the picture is its subject."""


def agrees(statements: Sequence[Statement], again: Recognition) -> bool:
    """Whether every statement is more likely right than not by the second look, and every number that of its faces.

    A second look whose subject is something else disagrees, however likely it finds what was stated.
    """
    likely = {it.term.name for it in again.suggestions if it.confidence >= TAGGED_FROM}
    likely |= {it.thing.name for it in again.seen}
    each = all(it.name in likely and (it.count is None or it.count == len(again.faces)) for it in statements)
    subjects = [it for it in again.seen if it.area >= _SUBJECT_AREA]
    stated = {it.name for it in statements}
    return each and (not subjects or any(stated & _words_of(it) for it in subjects))


def _words_of(seen: RecognisedThing) -> set[str]:
    """Every word for it, wider and narrower ones too."""
    covers = load_vocabulary().classes_by_name
    within = covers.get(seen.kind or "", frozenset())
    narrower = {name for name, classes in covers.items() if classes <= within}
    return {seen.thing.name, *seen.thing.wider, *narrower}


def reads_alike(quoted: Sequence[Line], again: Sequence[Line]) -> bool:
    """Whether every quoted line was read again, but for spaces and capitals."""
    read = {_plain(line.text) for line in again}
    return all(_plain(line.text) in read for line in quoted)


def _plain(text: str) -> str:
    return "".join(text.casefold().split())
