"""Whether a second look bears out what was stated after the first."""

from __future__ import annotations

from collections.abc import Sequence

from imagebatch_server.operations.describe.calibration import TAGGED_FROM
from imagebatch_server.operations.describe.reader import Line
from imagebatch_server.operations.describe.recogniser import Sight
from imagebatch_server.operations.describe.statements import Statement


def agrees(statements: Sequence[Statement], again: Sight) -> bool:
    """Whether every statement is more likely right than not by the second look, and every number that of its faces."""
    likely = {it.term.name for it in again.suggestions if it.confidence >= TAGGED_FROM}
    likely |= {it.thing.name for it in again.seen}
    return all(it.name in likely and (it.count is None or it.count == again.face_count) for it in statements)


def reads_alike(quoted: Sequence[Line], again: Sequence[Line]) -> bool:
    """Whether every quoted line was read again, but for spaces and capitals."""
    read = {_plain(line.text) for line in again}
    return all(_plain(line.text) in read for line in quoted)


def _plain(text: str) -> str:
    return "".join(text.casefold().split())
