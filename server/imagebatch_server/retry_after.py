"""The HTTP header by which somebody who is asked too much says when to come again."""

from __future__ import annotations

import email.utils
import re
import time
from datetime import UTC

_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]*)?")


def retry_after_s(value: str | None) -> float | None:
    """How long to wait by the value of Retry-After, a number of seconds or a date; None if it says neither."""
    if value is None:
        return None
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
        return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
