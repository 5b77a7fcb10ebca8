"""The work that we and every peer do for a no-op item: 147 bytes of JSON in, 384 bytes of JSON out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

INPUT_BYTES = 147
OUTPUT_BYTES = 384
"""Of compact JSON, for an index of five digits."""

_PATTERN_INDEX = 10_000

_FILLER = "a picture of a harbour at dusk, three boats, one lighthouse and a dog that looks at the photographer; "


class WrongResults(Exception):
    """A round whose results are not each index once, with the output that the work gives: its time is worth nothing."""


def metadata_of(index: int) -> dict[str, Any]:
    """Make what an item is submitted with."""
    return _METADATA | {"index": index, "name": name_of(index)}


def name_of(index: int) -> str:
    """Pick the part of an item's input that tells one from another."""
    return f"picture-{index:08d}.jpg"


def answer(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Do nothing: what it answers depends on its input and costs next to nothing."""
    return _ANSWER | {"index": metadata["index"], "name": metadata["name"]}


def check(answers: Iterable[Mapping[str, Any]], items: int) -> None:
    """Raise WrongResults unless every index came back once, decoded, with its own answer."""
    seen = bytearray(items)
    for each in answers:
        index = each["index"]
        if not 0 <= index < items or seen[index] or each["name"] != name_of(index):
            raise WrongResults(f"index {index} came back twice, or with another's answer")
        seen[index] = 1
    missing = seen.count(0)
    if missing:
        raise WrongResults(f"{missing} of {items} results did not come back")


def encoded(value: Mapping[str, Any]) -> bytes:
    """As compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def _padded(value: dict[str, Any], field: str, size_bytes: int) -> dict[str, Any]:
    missing = size_bytes - len(encoded(value))
    return value | {field: (_FILLER * (missing // len(_FILLER) + 1))[:missing]}


_METADATA = _padded({"index": _PATTERN_INDEX, "name": name_of(_PATTERN_INDEX), "note": ""}, "note", INPUT_BYTES)
_ANSWER = _padded(
    {
        "index": _PATTERN_INDEX,
        "name": name_of(_PATTERN_INDEX),
        "description": "",
        "confidence_score": 0.875,
        "width": 4032,
        "height": 3024,
        "format": "jpeg",
        "tags": ["harbour", "boat", "lighthouse"],
    },
    "description",
    OUTPUT_BYTES,
)
