"""What is usual, learned from what happens."""

from __future__ import annotations

_NEWEST_WEIGHT = 0.1


class MovingAverage:
    """An exponential moving average; the first value observed is all there is to go by, and stands for itself."""

    def __init__(self, assumed: float) -> None:
        """Take `assumed` as the value until something is observed."""
        self.value = assumed
        self.is_assumed = True
        """Whether nothing was observed yet."""

    def observe(self, value: float) -> None:
        """Take a new value into account."""
        weight = 1.0 if self.is_assumed else _NEWEST_WEIGHT
        self.is_assumed = False
        self.value += weight * (value - self.value)
