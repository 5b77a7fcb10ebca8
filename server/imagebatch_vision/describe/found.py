"""What was found in its place, in the form of the output."""

from __future__ import annotations

from collections.abc import Iterable

from imagebatch_vision.describe.output import Box, FoundFace, FoundObject, Point, TextLine
from imagebatch_vision.describe.reader import Line
from imagebatch_vision.describe.weighing import Recognition


def objects_of(recognition: Recognition) -> list[FoundObject]:
    """Put things into the output's form."""
    return [
        FoundObject(name=it.thing.name, confidence=round(it.confidence, 3), box=Box(**it.box._asdict()))
        for it in recognition.objects
    ]


def faces_of(recognition: Recognition) -> list[FoundFace]:
    """Do so with faces."""
    return [FoundFace(box=Box(**it.box._asdict())) for it in recognition.faces]


def text_lines_of(lines: Iterable[Line]) -> list[TextLine]:
    """Do so with lines of text."""
    return [
        TextLine(text=it.text, confidence=round(it.confidence, 3), corners=[Point(x=x, y=y) for x, y in it.corners])
        for it in lines
    ]
