"""The time of day by which batches are stamped and expire, the same on every server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime


class ServiceClock:
    """Tells the database's time where there are several servers, whatever their own clocks say. It never goes back."""

    def __init__(self, time_s: Callable[[], float]) -> None:
        """Read `time_s`, which all servers share and each knows to some milliseconds: `Servers.time_s`."""
        self._time_s = time_s
        self._last_s = 0.0

    def time_s(self) -> float:
        """Seconds since the epoch."""
        self._last_s = max(self._last_s, self._time_s())
        return self._last_s

    def now(self) -> datetime:
        """Tell the same as a time with a zone."""
        return datetime.fromtimestamp(self.time_s(), UTC)
