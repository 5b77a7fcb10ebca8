"""The recent outcomes of one batch, rendered once for all who watch it, and only if somebody does."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.model import Batch, ItemResult

RING_ROWS = 4_096
RING_BYTES = 8 * 1024 * 1024
MEMOS = 16
"""Messages that are kept for the next watcher at the same place."""

BLOCKS = 4
"""Reads of the store that are kept for the next watcher that is as far behind."""

Statuses = frozenset[BatchItemStatus]
Place = tuple[int, Statuses]
"""A sequence, after which to go on, and a filter."""

Render = Callable[[str, ItemResult], bytes]
"""Makes the bytes of one tenant's result."""


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
class Outcomes:
    """Outcomes in the order of their sequences, each with its bytes; `committed_at` is the oldest's."""

    results: Sequence[ItemResult]
    data: Sequence[bytes]
    committed_at: float | None


class _Commit:
    """The outcomes of one commit."""

    def __init__(self, results: Sequence[ItemResult], committed_at: float | None) -> None:
        self.results = results
        self.committed_at = committed_at
        self.size_bytes = sum(result.size_bytes for result in results)
        self._data: Sequence[bytes] | None = None

    def data(self, tenant: str, render: Render) -> Sequence[bytes]:
        """Their bytes, made for the first who asks."""
        if self._data is None:
            self._data = [render(tenant, result) for result in self.results]
        return self._data

    def forget_data(self) -> None:
        """Have them made anew for the next who asks."""
        self._data = None


class Ring:
    """The last outcomes of one batch that were heard of, without gaps.

    The state of the batch may be newer than they are: it is read from the store too. `bells` are set when there is
    anything new. What was rendered is kept for `kept_s` at the most: there are URLs in it that expire.
    """

    def __init__(self, batch: Batch, *, kept_s: float = math.inf) -> None:
        self.batch = batch
        self._kept_s = kept_s
        self._renewed_at = time.monotonic()
        self.deleted = False
        self.bells: set[asyncio.Event] = set()
        self._commits: deque[_Commit] = deque()
        self._rows = 0
        self._bytes = 0
        self._held_to = batch.last_sequence
        self._memos: dict[Place, Sequence[Update]] = {}
        self._blocks: dict[Place, asyncio.Task[Sequence[Update]]] = {}

    @property
    def last_sequence(self) -> int:
        """The highest sequence of the batch that is known here."""
        return self.batch.last_sequence

    @property
    def held_to(self) -> int:
        """The sequence up to which outcomes were heard of."""
        return self._held_to

    def append(self, batch: Batch, results: Sequence[ItemResult] | None, committed_at: float | None) -> None:
        """Take what was committed, the last outcomes of the batch; None where they must be read from the store.

        `committed_at` is on the monotonic clock; None where that is not known.
        """
        self._leave_epoch(batch)
        if results is None or self._held_to + len(results) != batch.last_sequence:
            self._forget()  # nothing before these is known to follow on: watchers catch up from the store
        if results:
            self._keep(_Commit(results, committed_at))
        self._held_to = batch.last_sequence
        self.refresh(batch)
        self.wake()

    def refresh(self, batch: Batch) -> None:
        """Take a state of the batch, unless a newer one is known."""
        self._leave_epoch(batch)
        if (batch.owner_epoch, batch.last_sequence) >= (self.batch.owner_epoch, self.batch.last_sequence):
            self.batch = batch
            self._memos.clear()

    def wake(self) -> None:
        """Have every watcher look again."""
        for bell in self.bells:
            bell.set()

    def after(self, sequence: int, render: Render) -> Outcomes | None:
        """Answer the outcomes that follow, or None if they must be read from the store."""
        if sequence >= self.last_sequence:
            return Outcomes((), (), None)
        missing = self._held_to - sequence
        if not 0 < missing <= self._rows:
            return None
        taken: deque[tuple[_Commit, int]] = deque()
        for commit in reversed(self._commits):
            taken.appendleft((commit, max(0, len(commit.results) - missing)))
            missing -= len(commit.results)
            if missing <= 0:
                break
        return Outcomes(
            [result for commit, start in taken for result in commit.results[start:]],
            [data for commit, start in taken for data in commit.data(self.batch.tenant, render)[start:]],
            taken[0][0].committed_at,
        )

    def renew(self) -> None:
        """Forget what was rendered if some of it may be too old; to be called before any of it is asked for."""
        now = time.monotonic()
        if now - self._renewed_at > self._kept_s:
            self._renewed_at = now
            self._memos.clear()
            self._blocks.clear()
            for commit in self._commits:
                commit.forget_data()

    def memo(self, place: Place) -> Sequence[Update] | None:
        """Answer the messages that another watcher was sent from here on."""
        return self._memos.get(place)

    def keep(self, place: Place, updates: Sequence[Update]) -> None:
        """Keep messages for the next watcher."""
        if len(self._memos) < MEMOS:
            self._memos[place] = updates

    def block(
        self, place: Place, read: Callable[[], Coroutine[Any, Any, Sequence[Update]]]
    ) -> asyncio.Task[Sequence[Update]]:
        """Answer what `read` makes of the store, read once for all watchers that are as far behind.

        Shield it: a watcher that goes must not take the others' read with it.
        """
        task = self._blocks.get(place)
        if task is None:
            while len(self._blocks) >= BLOCKS:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[place] = task = asyncio.get_running_loop().create_task(read())
            task.add_done_callback(partial(self._was_read, place))
        return task

    def _was_read(self, place: Place, task: asyncio.Task[Sequence[Update]]) -> None:
        if task.cancelled() or task.exception() is not None:
            is_kept = False
        else:
            last = task.result()[-1]
            is_kept = last.batch is None or last.is_last  # else the next reader's present is another
        if not is_kept and self._blocks.get(place) is task:
            del self._blocks[place]

    def _leave_epoch(self, batch: Batch) -> None:
        if batch.owner_epoch > self.batch.owner_epoch:
            self._forget()  # a retry may have taken outcomes away

    def _forget(self) -> None:
        self._commits.clear()
        self._rows = self._bytes = 0
        self._blocks.clear()

    def _keep(self, commit: _Commit) -> None:
        self._commits.append(commit)
        self._rows += len(commit.results)
        self._bytes += commit.size_bytes
        while self._rows > RING_ROWS or self._bytes > RING_BYTES:
            gone = self._commits.popleft()
            self._rows -= len(gone.results)
            self._bytes -= gone.size_bytes
