"""How much an executor has taken on, and how much more it wants: enough to keep its workers busy, and no more."""

from __future__ import annotations

import math

_MOST_ITEMS_A_WORKER = 512


class Backlog:
    """Attempts that wait for a worker or are with one, counted by the work they are expected to be."""

    def __init__(self, *, workers: int, ahead_s: float, least_items: int) -> None:
        """Want `ahead_s` seconds of work for each worker, and `least_items` items however long these take."""
        self._workers = workers
        self._most_s = workers * ahead_s
        self._least_items = least_items
        self._most_items = workers * _MOST_ITEMS_A_WORKER
        self.items = 0
        """Attempts that are counted now."""
        self.work_s = 0.0
        """What they are expected to take, together."""

    def add(self, work_s: float) -> None:
        """Count an item."""
        self.items += 1
        self.work_s += work_s

    def remove(self, work_s: float) -> None:
        """Count it no more; `work_s` as it was added."""
        self.items -= 1
        self.work_s = self.work_s - work_s if self.items else 0.0

    def room(self, item_s: float, *, least_items: int = 0) -> int:
        """How many more items are wanted, of so much work each, and for each worker at least `least_items`."""
        by_work = math.ceil((self._most_s - self.work_s) / max(item_s, 1e-6))
        least = self._workers * max(self._least_items, least_items) - self.items
        return max(0, min(max(by_work, least), self._most_items - self.items))
