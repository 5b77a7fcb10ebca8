"""Log lines for what may happen a million times: enough to see that it does, and never one for each."""

from __future__ import annotations


def is_worth_a_line(count: int) -> bool:
    """Tell whether the first, the 10th, the 100th and so on of its kind has just been counted."""
    return str(count).strip("0") == "1"
