"""How fast a batch goes, and how sure that is."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from imagebatch_server.batches import lifecycle

JUDGED_EVERY_S = 1.0

JUDGED_FROM_S = 3.0
"""A rate that was taken over less tells of runs of outcomes more than of the batch, and is held against nothing."""

JUDGED_SHARE = 0.7
"""So many rates of a batch were off by no more than is told; with `lifecycle.DRIFT`, four of five ranges hold."""

ERROR_AT_FIRST = 0.3
"""While no rate can be held against what came."""


class Speed(NamedTuple):
    """Outcomes a second, and by what part of it that may be off."""

    outcomes_per_s: float
    rate_error: float


class _Told(NamedTuple):
    """A rate as it was, when, and how many outcomes there were by then."""

    at: float
    total: int
    outcomes_per_s: float


class Rate:
    """Outcomes a second over the last minute, from when the first item was dispatched, or else the first one ended.

    How far it may be off is what came of the rates of that minute: of each, the part by which the batch has gone
    faster or slower since. So nothing is taken for granted about how outcomes depend on each other, or on what else
    runs (as in conformal prediction: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, is_begun: bool = False) -> None:
        """`is_begun`: items run from now on; else those that are counted first began before."""
        self._clock = clock
        self._started: float | None = clock() if is_begun else None
        self._counts: deque[tuple[float, int]] = deque()
        self._in_window = 0
        self._total = 0
        self._told: deque[_Told] = deque()
        self._error = ERROR_AT_FIRST
        self._judged_at = float("-inf")

    def add(self, count: int) -> Speed | None:
        """Count outcomes; answer the rate, or None while there are too few."""
        now = self._clock()
        self._total += count
        if self._started is None:
            self._started = now
            return None
        self._counts.append((now, count))
        self._in_window += count
        while now - self._counts[0][0] > lifecycle.RATE_WINDOW_S:
            self._in_window -= self._counts.popleft()[1]
        if self._total < lifecycle.OUTCOMES_FOR_ESTIMATE or not self._in_window:
            return None
        window_s = max(min(now - self._started, lifecycle.RATE_WINDOW_S), 0.001)
        rate = self._in_window / window_s
        if now - self._judged_at >= JUDGED_EVERY_S:
            self._judged_at = now
            self._error = self._judged(now)
            if window_s >= JUDGED_FROM_S:
                self._told.append(_Told(now, self._total, rate))
        return Speed(rate, self._error)

    def _judged(self, now: float) -> float:
        """Find by what part most of the rates of the last minute were off from what has come since."""
        while self._told and now - self._told[0].at > lifecycle.RATE_WINDOW_S:
            self._told.popleft()
        off = sorted(
            abs((self._total - told.total) / (now - told.at) / told.outcomes_per_s - 1.0) for told in self._told
        )
        return off[min(int(JUDGED_SHARE * len(off)), len(off) - 1)] if off else ERROR_AT_FIRST
