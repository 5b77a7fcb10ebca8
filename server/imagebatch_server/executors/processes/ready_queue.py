"""Attempts whose images are here, until a worker takes them in chunks."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping

from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.attempts.worker_pool import CHUNK_S
from imagebatch_server.moving_average import MovingAverage

_MOST_ITEMS = 256
_MOST_BYTES = 64 * 1024 * 1024


class Pace:
    """How long the items of each operation take a child, as a moving average."""

    def __init__(self) -> None:
        self._item_s: defaultdict[str, MovingAverage] = defaultdict(lambda: MovingAverage(CHUNK_S))

    def observe(self, operation: str, run_s: float) -> None:
        """One item took that long."""
        self._item_s[operation].observe(run_s)

    def expected_s(self, operation: str) -> float:
        """Estimate what an item will take; as long as nothing is known, a chunk of its own."""
        return self._item_s[operation].value


_Batches = dict[str, deque[Attempt]]
"""A tenant's attempts by batch; the batch whose turn it is comes first."""


class ReadyQueue:
    """Hand out chunks: of several tenants by whose turn came first, and of a tenant to each batch in turn.

    So what many fetches bring at once holds up no other batch, and what was brought ahead of one tenant no other.
    Shares and priorities are not decided here but by what is submitted: all that is submitted is handed out soon.
    """

    def __init__(self, pace: Pace, chunk_items: Mapping[str, int], *, most_items: int = _MOST_ITEMS) -> None:
        """`chunk_items` are the items that an operation takes at once, for those that do; however long they take."""
        self._pace = pace
        self._chunk_items = chunk_items
        self._most_items = most_items
        self._tenants: dict[str, _Batches] = {}
        self._items = 0

    def add(self, attempt: Attempt) -> None:
        """Put an attempt at its batch's end."""
        dispatch = attempt.dispatch
        self._tenants.setdefault(dispatch.tenant, {}).setdefault(dispatch.batch_id, deque()).append(attempt)
        self._items += 1

    def put_back(self, attempts: Iterable[Attempt]) -> None:
        """Put attempts that were handed out in front again, in their order, and their batches with them."""
        for attempt in reversed(list(attempts)):
            tenant, batch_id = attempt.dispatch.tenant, attempt.dispatch.batch_id
            batches = self._tenants.pop(tenant, {})
            queue = batches.pop(batch_id, deque())
            queue.appendleft(attempt)
            self._tenants[tenant] = {batch_id: queue, **batches}
            self._items += 1

    def next_operation(self) -> str | None:
        """Choose the operation that the next chunk is for; None if nothing is ready."""
        first = self._first()
        return None if first is None else first.operation

    def next_goes_alone(self) -> bool:
        """Whether the next chunk is one attempt that has to go alone."""
        first = self._first()
        return first is not None and first.goes_alone

    def first_turn_ms(self) -> float:
        """Tell the turn that comes next; inf if nothing is ready."""
        first = self._first()
        return math.inf if first is None else first.dispatch.turn_ms

    def take(self, workers: int) -> list[Attempt]:
        """Take the next chunk: a fair part of what is ready, if so many workers could take one now."""
        first = self._first()
        if first is None:
            return []
        expected_s = max(self._pace.expected_s(first.operation), 1e-6)
        at_once = self._chunk_items.get(first.operation) or int(CHUNK_S / expected_s)
        chunk = _Chunk(max(1, min(self._most_items, at_once, math.ceil(self._items / workers))))
        for batches in sorted(self._tenants.values(), key=_turn_ms):
            self._fill(chunk, batches)
            if chunk.is_full:
                break
        return chunk.attempts

    def _fill(self, chunk: _Chunk, batches: _Batches) -> None:
        for batch_id, queue in list(batches.items()):
            before = len(queue)
            while queue and (queue[0].forgotten or chunk.takes(queue[0])):
                attempt = queue.popleft()
                if not attempt.forgotten:
                    chunk.add(attempt)
            if len(queue) < before:
                self._items -= before - len(queue)
                del batches[batch_id]
                if queue:
                    batches[batch_id] = queue  # behind the others, as it had its turn
            if chunk.is_full:
                break

    def _first(self) -> Attempt | None:
        """Find what the next chunk begins with, once what is forgotten at the head of each tenant's is dropped."""
        for tenant, batches in list(self._tenants.items()):
            self._drop_forgotten(batches)
            if not batches:
                del self._tenants[tenant]
        if not self._tenants:
            return None
        return _head(min(self._tenants.values(), key=_turn_ms))

    def _drop_forgotten(self, batches: _Batches) -> None:
        for batch_id, queue in list(batches.items()):
            while queue and queue[0].forgotten:
                queue.popleft()
                self._items -= 1
            if queue:
                return
            del batches[batch_id]


def _head(batches: _Batches) -> Attempt:
    return next(iter(batches.values()))[0]


def _turn_ms(batches: _Batches) -> float:
    return _head(batches).dispatch.turn_ms


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
