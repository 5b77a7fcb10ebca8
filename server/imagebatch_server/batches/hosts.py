"""Slots for fetching images: some overall, few a host, so that a slow host holds up nobody else's images."""

from __future__ import annotations

from collections import Counter, deque
from urllib.parse import urlsplit

from imagebatch_server.batches.running import RunningBatch


def host_of(url: str) -> str:
    """The host that a URL names, empty if it names none: fetching it will say what is wrong."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class HostSlots:
    """Counts fetches. Items whose host is at its limit are parked, by index, and come back as its slots free."""

    def __init__(self, *, overall: int, per_host: int) -> None:
        self._overall = overall
        self._per_host = per_host
        self._busy: Counter[str] = Counter()
        self._busy_overall = 0
        self._parked: dict[str, deque[tuple[RunningBatch, int]]] = {}

    def room(self) -> int:
        """How many more fetches there may be, of whichever hosts."""
        return self._overall - self._busy_overall

    def acquire(self, host: str) -> bool:
        """Take a slot of the host; False if it is at its limit."""
        if self._busy[host] >= self._per_host:
            return False
        self._busy[host] += 1
        self._busy_overall += 1
        return True

    def park(self, host: str, running: RunningBatch, item_index: int) -> None:
        """Let an item wait for its host."""
        self._parked.setdefault(host, deque()).append((running, item_index))

    def release(self, host: str) -> tuple[RunningBatch, int] | None:
        """Give a slot back; answers the item that has waited longest for it."""
        self._busy_overall -= 1
        self._busy[host] -= 1
        if not self._busy[host]:
            del self._busy[host]
        parked = self._parked.get(host, deque())
        while parked:
            running, item_index = parked.popleft()
            if not running.closed:
                return running, item_index
        self._parked.pop(host, None)
        return None
