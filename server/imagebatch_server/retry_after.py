"""The HTTP header by which somebody who is asked too much says when to come again."""

from __future__ import annotations

import email.utils
import time


def retry_after_s(value: str | None) -> float | None:
    """How long to wait by the value of Retry-After, a number of seconds or a date; None if it says neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, OverflowError):
            return None
    return seconds if 0 <= seconds < float("inf") else None
