"""Times and sizes as people write them."""

from __future__ import annotations

import re
from typing import Final

import typer

_SECONDS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_TIME = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)")


def seconds(text: str) -> float:
    """`90`, `1.5s`, `2m` or `1h 30m` in seconds. Raises typer.BadParameter."""
    parts = _TIME.findall(text.strip().lower())
    rest = _TIME.sub("", text.strip().lower()).strip()
    if not parts or rest or any(unit not in _SECONDS for _, unit in parts):
        raise typer.BadParameter(f"{text!r} is no time; write 90 (seconds), 500ms, 2m or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
