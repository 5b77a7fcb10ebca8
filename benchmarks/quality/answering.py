"""What one version of `describe` and `verify` answers, in a process of its own; `versions.py` starts it.

    python -m benchmarks.quality.answering TASK < paths > answers

Answers are lines of JSON, each with the `key` of what was asked; paths, one a line, are those of photographs to ask
about. PYTHONPATH decides which version it is, so that only names that both versions have are used here.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality import fetch, reading, verify
from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext
from imagebatch_vision.describe import Describe, DescribeParameters, operation
from imagebatch_vision.describe.recogniser import Recogniser

LEAST_GUESS = 0.05
GATED = 3
"""Words are drawn into every third photograph of the packages."""


class Recording:
    """Keep what passes through a function that a module calls, on its way to one output."""

    def __init__(self, owner: Any, name: str) -> None:
        self._function = getattr(owner, name)
        self.arguments: tuple[Any, ...] = ()
        self.answer: Any = None
        setattr(owner, name, self)

    def __call__(self, *arguments: Any) -> Any:
        self.arguments, self.answer = arguments, self._function(*arguments)
        return self.answer

    def __get__(self, instance: Any, _owner: Any = None) -> Callable[..., Any]:
        return lambda *arguments: self(instance, *arguments)


def described(paths: Iterable[Path]) -> Iterable[Mapping[str, Any]]:
    """Describe photographs, their text apart: what is stated, what was guessed, and what the models had said."""
    chosen, weighed = Recording(operation, "choose"), _weighing()
    describe, parameters = Describe(), DescribeParameters(read_text="never")
    describe.load()
    for path in paths:
        data = path.read_bytes()
        weighed.arguments = ()
        output = describe.run(Image.open(data), parameters, ItemContext(item_index=0))
        recognition, *_ = chosen.arguments
        yield {
            "key": hashlib.sha256(data).hexdigest(),
            "path": str(path),
            "medium": output.medium,
            "description": output.description,
            "confidence": output.confidence_score,
            **said(recognition, chosen.answer),
            "sight": _sight(weighed.arguments) if weighed.arguments else None,
        }


def said(recognition: Any, statements: Iterable[Any]) -> Mapping[str, Any]:
    """Put into JSON what is stated and what was guessed."""
    return {
        "statements": [
            {"name": it.name, "words": it.hedged, "confidence": it.confidence, "plain": it.hedged == it.words}
            for it in statements
        ],
        "guesses": [[it.term.name, it.confidence] for it in recognition.suggestions if it.confidence >= LEAST_GUESS],
    }


def _weighing() -> Recording:
    """Record what is weighed, in whichever place this version does it."""
    try:
        from imagebatch_vision.describe.weighing import Weighing
    except ModuleNotFoundError:
        return Recording(Recogniser, "_weigh")
    return Recording(Weighing, "weigh")


def _sight(arguments: Sequence[Any]) -> Mapping[str, Any]:
    """Put what the models said of one photograph, all that the weighing knows, into JSON."""
    _, *parts = arguments
    shares, scores, found, faces = parts if len(parts) > 1 else vars(parts[0]).values()
    return {
        "shares": [float(f"{it:.5g}") for it in shares],
        "scores": [float(f"{it:.5g}") for it in scores],
        "found": [[it.thing, it.score, *_sides(it.box)] for it in found],
        "faces": [[it.score, *_sides(it.box)] for it in faces],
    }


def _sides(box: Any) -> list[float]:
    return [float(side) for side in (box.left, box.top, box.right, box.bottom)]


def read(_paths: Iterable[Path]) -> Iterable[Mapping[str, Any]]:
    """Read pages of known text."""
    for row in reading.Bench().pages():
        yield {"key": f"{row.condition}, {row.height_px} px", "edits": row.edits, "characters": row.characters}


def found(_paths: Iterable[Path]) -> Iterable[Mapping[str, Any]]:
    """Look for words that were drawn into photographs."""
    for row in reading.Bench().gate(fetch.photographs()[::GATED]):
        yield {"key": f"1/{1 / row.height_share:.0f} of the picture", "read": row.read}


def verified(_paths: Iterable[Path]) -> Iterable[Mapping[str, Any]]:
    """Check right claims and wrong ones."""
    for row in verify.Bench().rows():
        yield {"key": f"{row.check}: {row.case}", "right": row.is_claim_right, "verdicts": row.verdicts}


TASKS: Mapping[str, Callable[[Iterable[Path]], Iterable[Mapping[str, Any]]]] = {
    "describe": described,
    "read": read,
    "find": found,
    "verify": verified,
}

if __name__ == "__main__":
    for answer in TASKS[sys.argv[1]](Path(line.rstrip("\n")) for line in sys.stdin):
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()
