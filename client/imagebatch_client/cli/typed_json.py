"""JSON that somebody typed: it means one thing, or it is refused."""

from __future__ import annotations

import json
from typing import Any


def read_json(text: str) -> Any:
    """Read a JSON value.

    Raises json.JSONDecodeError for what is no JSON, and ValueError for a key that is there twice, and for a depth or a
    number beyond what can be read.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{twice!r:.80} is given twice; give it once")
    return made
