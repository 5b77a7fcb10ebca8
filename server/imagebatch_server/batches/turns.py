"""Whose turn it is: stride scheduling of the workers' time over batches, by priority.

A batch's turn moves on by the time that its items take, divided by its priority; the batch with the lowest turn goes
next (Waldspurger and Weihl, "Stride Scheduling", 1995). A batch that becomes ready starts at the turn being served, so
its first item takes the next free slot, and time that it did not ask for is not saved up.
"""

from __future__ import annotations

import heapq
from itertools import count

from imagebatch_server.batches.running import RunningBatch

SHARE_MS = 20.0
"""About the work that a batch is given in one turn."""

MOST_ITEMS_A_TURN = 64
LEAST_ITEM_MS = 0.05
"""What an item costs at the least: measured times of a fraction of a millisecond round to nothing."""

NEWEST_WEIGHT = 0.1


class Turns:
    """The batches that have an item at hand. Those whose next item must be fetched queue apart from the others, because
    one kind can go on while the other's slots are taken.
    """

    def __init__(self) -> None:
        self._stored: list[tuple[float, int, RunningBatch]] = []
        self._fetched: list[tuple[float, int, RunningBatch]] = []
        self._order = count()
        self._now = 0.0
        self._item_ms: dict[str, float] = {}

    def enter(self, running: RunningBatch) -> None:
        """The batch has an item at hand."""
        if running.in_turns:
            return
        running.in_turns = True
        running.turn = max(running.turn, self._now)
        self._push(running)

    def next(self, *, stored: bool, fetched: bool) -> RunningBatch | None:
        """Take out the batch whose turn it is, among those whose next item may go now."""
        queues = [queue for queue, open_ in ((self._stored, stored), (self._fetched, fetched)) if open_]
        while True:
            queue = min((queue for queue in queues if queue), key=lambda queue: queue[0], default=None)
            if queue is None:
                return None
            running = heapq.heappop(queue)[2]
            if not running.window:
                running.in_turns = False
            elif self._queue_of(running) is not queue:
                self._push(running)  # an item of the other kind came in front
            else:
                running.in_turns = False
                self._now = max(self._now, running.turn)
                return running

    def items_a_turn(self, running: RunningBatch) -> int:
        """How many items the batch may dispatch in its turn."""
        return max(1, min(MOST_ITEMS_A_TURN, int(SHARE_MS / self._estimate_ms(running))))

    def charge(self, running: RunningBatch) -> float:
        """Charge one item in advance; answers the estimate (milliseconds)."""
        estimated_ms = self._estimate_ms(running)
        running.turn += estimated_ms / running.batch.options.priority
        return estimated_ms

    def settle(self, running: RunningBatch, estimated_ms: float, actual_ms: float) -> None:
        """Correct the charge by what the item took."""
        actual_ms = max(actual_ms, LEAST_ITEM_MS)
        running.turn += (actual_ms - estimated_ms) / running.batch.options.priority
        operation = running.batch.options.operation
        known_ms = self._item_ms.get(operation, actual_ms)
        self._item_ms[operation] = known_ms + NEWEST_WEIGHT * (actual_ms - known_ms)

    def _estimate_ms(self, running: RunningBatch) -> float:
        return self._item_ms.get(running.batch.options.operation, SHARE_MS)

    def _queue_of(self, running: RunningBatch) -> list[tuple[float, int, RunningBatch]]:
        return self._fetched if running.window[0].is_fetched else self._stored

    def _push(self, running: RunningBatch) -> None:
        heapq.heappush(self._queue_of(running), (running.turn, next(self._order), running))
