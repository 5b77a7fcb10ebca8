"""A deadline that is moved for every item and hardly ever passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """Call `on_passed` when the time last set is over. Setting it costs no timer where one is due earlier anyway."""

    def __init__(self, on_passed: Callable[[], None]) -> None:
        self._on_passed = on_passed
        self._loop = asyncio.get_running_loop()
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Let it be that many seconds from now."""
        self._due = due = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > due:
            self._arm(due)

    def clear(self) -> None:
        """Wait for nothing."""
        self._due = None

    def close(self) -> None:
        """Wait for nothing, ever."""
        self._due = None
        if self._timer is not None:
            self._timer.cancel()

    @property
    def has_passed(self) -> bool:
        """Whether the time is over."""
        return self._due is not None and self._loop.time() >= self._due

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.has_passed:
            self._on_passed()
        elif self._due is not None:
            self._arm(self._due)
