"""The recent outcomes of one watched batch, rendered once for all its watchers."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.model import Batch

RING_ROWS = 4_096
RING_BYTES = 8 * 1024 * 1024
MEMOS = 16
"""Messages that are kept for the next watcher at the same place."""

BLOCKS = 4
"""Reads of the store that are kept for the next watcher that is as far behind."""

Statuses = frozenset[BatchItemStatus]
Place = tuple[int, Statuses]
"""A sequence, after which to go on, and a filter."""


@dataclass(frozen=True, slots=True)
class Update:
    """What one message of a watch says, and the `message` itself.

    `sequence` is the highest that it covers; `batch` is None while it is behind.
    """

    results: Sequence[bytes]
    batch: Batch | None
    sequence: int
    message: bytes
    committed_at: float | None
    """On the monotonic clock, of its oldest outcome; None where that is not known."""

    @property
    def is_last(self) -> bool:
        """Whether it carries the terminal status, which ends the watch."""
        return self.batch is not None and lifecycle.is_terminal(self.batch.status)


@dataclass(frozen=True, slots=True)
class Rendered:
    """One outcome as it is sent."""

    sequence: int
    status: BatchItemStatus
    data: bytes
    committed_at: float | None


class Ring:
    """The last outcomes of one batch, without gaps, up to `last_sequence`."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.watchers = 0
        self.deleted = False
        self.changed = asyncio.Event()
        self._entries: deque[Rendered] = deque()
        self._bytes = 0
        self._memos: dict[Place, Sequence[Update]] = {}
        self._blocks: dict[Place, asyncio.Task[Sequence[Update]]] = {}

    @property
    def last_sequence(self) -> int:
        """The highest sequence of the batch that is known here."""
        return self.batch.last_sequence

    def append(self, batch: Batch, rendered: Sequence[Rendered] | None) -> None:
        """Take what was committed; None where it must be read from the store."""
        if rendered is None or self.last_sequence + len(rendered) != batch.last_sequence:
            self._entries.clear()  # not contiguous any more: watchers catch up from the store
            self._bytes = 0
            self._blocks.clear()
        else:
            self._entries.extend(rendered)
            self._bytes += sum(len(entry.data) for entry in rendered)
            while len(self._entries) > RING_ROWS or self._bytes > RING_BYTES:
                self._bytes -= len(self._entries.popleft().data)
        self.refresh(batch)
        self.wake()

    def refresh(self, batch: Batch) -> None:
        """Take a newer state of the batch at the same sequence."""
        self.batch = batch
        self._memos.clear()

    def wake(self) -> None:
        """Have every watcher look again."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def after(self, sequence: int) -> Sequence[Rendered] | None:
        """The outcomes that follow, or None if the ring does not reach back so far."""
        missing = self.last_sequence - sequence
        held = len(self._entries)
        if missing > held:
            return None
        return list(islice(self._entries, held - missing, held))

    def memo(self, place: Place) -> Sequence[Update] | None:
        """The messages that another watcher was sent from here on."""
        return self._memos.get(place)

    def keep(self, place: Place, updates: Sequence[Update]) -> None:
        """Keep messages for the next watcher."""
        if len(self._memos) < MEMOS:
            self._memos[place] = updates

    async def block(self, place: Place, read: Callable[[], Coroutine[Any, Any, Sequence[Update]]]) -> Sequence[Update]:
        """The messages that `read` makes of the store, read once for all watchers that are as far behind."""
        task = self._blocks.get(place)
        if task is None:
            task = asyncio.get_running_loop().create_task(read())
            while len(self._blocks) >= BLOCKS:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[place] = task
        try:
            # Shielded: a watcher that goes must not take the others' read with it.
            updates = await asyncio.shield(task)
        except BaseException:
            self._forget(place, task)
            raise
        if not updates or updates[-1].batch is not None:
            self._forget(place, task)  # it reaches the present, and the next reader's present is another
        return updates

    def _forget(self, place: Place, task: asyncio.Task[Sequence[Update]]) -> None:
        if self._blocks.get(place) is task:
            del self._blocks[place]


def now() -> float:
    """The clock of `committed_at`."""
    return time.monotonic()
