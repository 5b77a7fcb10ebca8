"""Which part of a body is asked for (RFC 9110, section 14)."""

from __future__ import annotations

import re

_ONE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII | re.IGNORECASE)
_MOST_DIGITS = 18


class Unsatisfiable(Exception):
    """The part lies behind the end."""


def part(header: str | None, size_bytes: int) -> range | None:
    """Read a `Range` header; None is all of it, as for several parts or for what is none. Raises Unsatisfiable."""
    found = _ONE.fullmatch(header or "")
    if found is None or found[1] == found[2] == "" or max(map(len, found.groups())) > _MOST_DIGITS:
        return None
    if not found[1]:
        start, end = max(0, size_bytes - int(found[2])), size_bytes
    else:
        start, end = int(found[1]), size_bytes
        if found[2]:
            if int(found[2]) < start:
                return None
            end = min(size_bytes, int(found[2]) + 1)
    if start >= end:
        raise Unsatisfiable
    return range(start, end)
