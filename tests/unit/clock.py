"""A clock for what is given one."""

from __future__ import annotations


class Clock:
    """Stand still until a test moves it (seconds)."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
