"""How long to wait before the next try of what failed."""

from __future__ import annotations


class Backoff:
    """Waits that double with every failure in a row, from `first_s` up to `longest_s` (seconds)."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures = 0

    def next_s(self) -> float:
        """Count a failure; answer how long to wait after it."""
        self._failures += 1
        return self.after(self._failures)

    def after(self, failures: int) -> float:
        """Answer how long to wait after so many failures in a row, at least one."""
        # Two to the power of a large number is no float any more.
        return min(self._first_s * 2.0 ** min(failures - 1, 64), self._longest_s)

    def reset(self) -> None:
        """Begin anew: it worked."""
        self._failures = 0
