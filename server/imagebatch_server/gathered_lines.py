"""Log lines for what may happen a million times: at once, and then one for all of its kind that came meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextvars import Context
from typing import Generic, TypeVar

T = TypeVar("T")


class GatheredLines(Generic[T]):
    """Write the first of each kind, and in every `every_s` after it the last of those that came, if any did.

    Each line is told how many of its kind were left out since the line before. Belongs to one event loop.
    """

    def __init__(self, write: Callable[[T, int], None], every_s: float) -> None:
        """With `every_s` 0 each has its line."""
        self._write = write
        self._every_s = every_s
        self._waiting: dict[Hashable, tuple[T | None, int]] = {}

    def add(self, kind: Hashable, one: T) -> None:
        """Write of one, now or later."""
        waiting = self._waiting.get(kind)
        if waiting is not None:
            self._waiting[kind] = (one, waiting[1] + 1)
            return
        self._write(one, 0)
        if self._every_s > 0:
            self._begin(kind)

    def close(self) -> None:
        """Write of all that wait."""
        for kind in list(self._waiting):
            self._write_waiting(kind)
        self._waiting.clear()

    def _begin(self, kind: Hashable) -> None:
        self._waiting[kind] = (None, 0)
        # In a context of its own: lines of the one that begins it name its request's trace.
        asyncio.get_running_loop().call_later(self._every_s, self._time_is_up, kind, context=Context())

    def _time_is_up(self, kind: Hashable) -> None:
        if self._write_waiting(kind):
            self._begin(kind)

    def _write_waiting(self, kind: Hashable) -> bool:
        """Write of what waits of a kind; answers whether anything did."""
        last, count = self._waiting.pop(kind, (None, 0))
        if last is None:
            return False
        self._write(last, count - 1)
        return True
