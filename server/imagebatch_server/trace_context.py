"""Where in a trace something belongs, as callers say it: the header `traceparent` of W3C Trace Context."""

from __future__ import annotations

import re
from typing import NamedTuple

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01


class TraceContext(NamedTuple):
    """A span of a trace, the parent of what comes of it."""

    trace_id: str
    span_id: str
    is_sampled: bool
    """Whether whoever began the trace has chosen to record it."""

    @property
    def traceparent(self) -> str:
        """Write it as the header's value."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"

    @classmethod
    def read(cls, traceparent: str | None) -> TraceContext | None:
        """Read the header's value, of several joined by commas the last; None if it is none, as the standard asks."""
        if traceparent is None:
            return None
        found = _FORM.fullmatch(traceparent.rpartition(",")[2].strip())
        return None if found is None else cls(found[1], found[2], bool(int(found[3], 16) & _SAMPLED))


def log_fields(traceparent: str | None) -> dict[str, str]:
    """Name the trace that a line of the log belongs to, if there is one."""
    context = TraceContext.read(traceparent)
    return {} if context is None else {"trace_id": context.trace_id}
