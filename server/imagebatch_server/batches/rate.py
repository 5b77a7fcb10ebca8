"""How fast a batch goes, and how sure that is."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from imagebatch_server.batches import lifecycle

PARTS = 8
"""Into so many the time is cut: few enough that each is longer than what lets one outcome come with another."""

JUDGED_EVERY_S = 1.0


class Speed(NamedTuple):
    """Outcomes a second, and by what part of it that may be off: its standard error."""

    outcomes_per_s: float
    rate_error: float


class Rate:
    """Outcomes a second over the last minute, from when the first item was dispatched, or else the first one ended."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, is_begun: bool = False) -> None:
        """`is_begun`: items run from now on; else those that are counted first began before."""
        self._clock = clock
        self._started: float | None = clock() if is_begun else None
        self._counts: deque[tuple[float, int]] = deque()
        self._in_window = 0
        self._total = 0
        self._error = 0.0
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
        if now - self._judged_at >= JUDGED_EVERY_S:
            self._judged_at = now
            self._error = self._standard_error(now, window_s)
        return Speed(self._in_window / window_s, self._error)

    def _standard_error(self, now: float, window_s: float) -> float:
        """Find the rate's standard error, as a part of it, by the method of batch means.

        Outcomes come in runs and depend on each other, so not they but the counts of longer parts of the time are
        taken for independent (Law, Simulation Modeling and Analysis, 5th ed., 9.5.3).
        """
        parts = [0] * PARTS
        for at, count in self._counts:
            parts[min(int((at - now + window_s) / window_s * PARTS), PARTS - 1)] += count
        mean = statistics.fmean(parts)
        return statistics.stdev(parts) / mean / PARTS**0.5 if mean else 0.0
