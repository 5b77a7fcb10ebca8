"""Attempts whose images are here, until a worker takes them in chunks."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping

from imagebatch_server.executors.attempt import Attempt

CHUNK_S = 0.1
"""The work of a chunk. Well under 250 ms, because what stands in a chunk behind an item that hangs waits with it."""

_MOST_ITEMS = 256
_MOST_BYTES = 64 * 1024 * 1024
_NEWEST_WEIGHT = 0.1


class Pace:
    """How long the items of each operation take a child, as a moving average."""

    def __init__(self) -> None:
        self._item_s: dict[str, float] = {}

    def observe(self, operation: str, run_s: float) -> None:
        """One item took that long."""
        known_s = self._item_s.get(operation, run_s)
        self._item_s[operation] = known_s + _NEWEST_WEIGHT * (run_s - known_s)

    def expected_s(self, operation: str) -> float:
        """What an item will take; as long as nothing is known, a chunk of its own."""
        return self._item_s.get(operation, CHUNK_S)


class ReadyQueue:
    """Hands out chunks, to each batch in turn, so that what many fetches bring at once holds up no other batch.

    Shares and priorities are not decided here but by what is submitted: all that is submitted is handed out soon.
    """

    def __init__(self, pace: Pace, chunk_items: Mapping[str, int], *, most_items: int = _MOST_ITEMS) -> None:
        """`chunk_items` are the items that an operation takes at once, for those that do; however long they take."""
        self._pace = pace
        self._chunk_items = chunk_items
        self._most_items = most_items
        self._batches: dict[str, deque[Attempt]] = {}
        self._items = 0

    def add(self, attempt: Attempt) -> None:
        """Put an attempt at its batch's end."""
        self._batches.setdefault(attempt.dispatch.batch_id, deque()).append(attempt)
        self._items += 1

    def put_back(self, attempts: Iterable[Attempt]) -> None:
        """Put attempts that were handed out in front again, in their order, and their batches with them."""
        for attempt in reversed(list(attempts)):
            batch_id = attempt.dispatch.batch_id
            queue = self._batches.pop(batch_id, deque())
            queue.appendleft(attempt)
            self._batches = {batch_id: queue, **self._batches}
            self._items += 1

    def next_operation(self) -> str | None:
        """The operation that the next chunk is for; None if nothing is ready."""
        first = self._first()
        return None if first is None else first.operation

    def next_goes_alone(self) -> bool:
        """Whether the next chunk is one attempt that has to go alone."""
        first = self._first()
        return first is not None and first.goes_alone

    def take(self, workers: int) -> list[Attempt]:
        """Take the next chunk: a fair part of what is ready, if so many workers could take one now."""
        first = self._first()
        if first is None:
            return []
        expected_s = max(self._pace.expected_s(first.operation), 1e-6)
        at_once = self._chunk_items.get(first.operation) or int(CHUNK_S / expected_s)
        chunk = _Chunk(max(1, min(self._most_items, at_once, math.ceil(self._items / workers))))
        for batch_id, queue in list(self._batches.items()):
            before = len(queue)
            while queue and (queue[0].forgotten or chunk.takes(queue[0])):
                attempt = queue.popleft()
                if not attempt.forgotten:
                    chunk.add(attempt)
            if len(queue) < before:
                self._items -= before - len(queue)
                del self._batches[batch_id]
                if queue:
                    self._batches[batch_id] = queue  # behind the others, as it had its turn
            if chunk.is_full:
                break
        return chunk.attempts

    def _first(self) -> Attempt | None:
        for batch_id, queue in list(self._batches.items()):
            while queue and queue[0].forgotten:
                queue.popleft()
                self._items -= 1
            if queue:
                return queue[0]
            del self._batches[batch_id]
        return None


class _Chunk:
    """Attempts at one operation with the same parameters."""

    def __init__(self, most_items: int) -> None:
        self.attempts: list[Attempt] = []
        self._free_items = most_items
        self._free_bytes = _MOST_BYTES

    @property
    def is_full(self) -> bool:
        return self._free_items == 0

    def takes(self, attempt: Attempt) -> bool:
        """Whether the attempt may go with the others."""
        if not self.attempts:
            return True
        first = self.attempts[0]
        return (
            self._free_items > 0
            and len(attempt.data) <= self._free_bytes
            and not attempt.goes_alone
            and attempt.operation == first.operation
            and attempt.dispatch.parameters == first.dispatch.parameters
        )

    def add(self, attempt: Attempt) -> None:
        """Let it go with the others."""
        self.attempts.append(attempt)
        self._free_items = 0 if attempt.goes_alone else self._free_items - 1
        self._free_bytes -= len(attempt.data)
