"""How fast a batch goes."""

from __future__ import annotations

import time
from collections import deque

from imagebatch_server.batches import lifecycle


class Rate:
    """Outcomes a second over the last minute."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._counts: deque[tuple[float, int]] = deque()
        self._in_window = 0
        self._total = 0

    def add(self, count: int) -> float | None:
        """Count outcomes; answer the rate, or None while there are too few."""
        now = time.monotonic()
        self._counts.append((now, count))
        self._in_window += count
        self._total += count
        while now - self._counts[0][0] > lifecycle.RATE_WINDOW_S:
            self._in_window -= self._counts.popleft()[1]
        if self._total < lifecycle.OUTCOMES_FOR_ESTIMATE:
            return None
        elapsed_s = min(now - self._started, lifecycle.RATE_WINDOW_S)
        return self._in_window / max(elapsed_s, 0.001)
