"""Watches: cursors over committed outcomes.

Each watched batch has one bounded ring of recent outcomes, rendered once for all its watchers and filled by the
recorder. A watcher reads the ring, or the store in short reads when it is behind; nothing grows with a slow one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.errors import BatchNotFound, Draining, SequenceOutOfRange
from imagebatch_server.batches.model import Batch, ItemResult, Outcome
from imagebatch_server.batches.ports import BatchStore, OutcomeStore

RING_ROWS = 4_096
RING_BYTES = 8 * 1024 * 1024
STORE_ROWS = 500
"""Outcomes of one short read for a watcher that is behind."""

QUIET_S = 5.0
"""With nothing new, a watcher is sent the status after this time: proxies cut silent streams."""


@dataclass(frozen=True, slots=True)
class Update:
    """What one message of a watch says.

    `sequence` is the highest that it covers; `batch` is None while it is behind.
    """

    results: Sequence[bytes]
    batch: Batch | None
    sequence: int

    @property
    def is_last(self) -> bool:
        """Whether it carries the terminal status, which ends the watch."""
        return self.batch is not None and lifecycle.is_terminal(self.batch.status)


@dataclass(frozen=True, slots=True)
class _Rendered:
    sequence: int
    status: BatchItemStatus
    data: bytes


class _Ring:
    """The last outcomes of one batch, without gaps, up to `last_sequence`."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.watchers = 0
        self.deleted = False
        self.changed = asyncio.Event()
        self._entries: deque[_Rendered] = deque()
        self._bytes = 0

    @property
    def last_sequence(self) -> int:
        return self.batch.last_sequence

    def append(self, batch: Batch, rendered: Sequence[_Rendered] | None) -> None:
        if rendered is None or self.last_sequence + len(rendered) != batch.last_sequence:
            self._entries.clear()  # not contiguous any more: watchers catch up from the store
            self._bytes = 0
        else:
            self._entries.extend(rendered)
            self._bytes += sum(len(entry.data) for entry in rendered)
            while len(self._entries) > RING_ROWS or self._bytes > RING_BYTES:
                self._bytes -= len(self._entries.popleft().data)
        self.batch = batch
        self.wake()

    def wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def after(self, sequence: int) -> Sequence[_Rendered] | None:
        """The outcomes that follow, or None if the ring does not reach back so far."""
        missing = self.last_sequence - sequence
        held = len(self._entries)
        if missing > held:
            return None
        return [self._entries[position] for position in range(held - missing, held)]


class Watchers:
    """All watches of this server. A listener of the recorder."""

    def __init__(
        self,
        batches: BatchStore,
        outcomes: OutcomeStore,
        render: Callable[[ItemResult], bytes],
        *,
        max_update_bytes: int,
    ) -> None:
        self._batches = batches
        self._outcomes = outcomes
        self._render = render
        self._max_update_bytes = max_update_bytes
        self._rings: dict[str, _Ring] = {}
        self._draining = False

    def committed(self, batch: Batch, outcomes: Sequence[Outcome], results: Sequence[ItemResult] | None) -> None:
        ring = self._rings.get(batch.batch_id)
        if ring is not None:
            ring.append(batch, None if results is None else self._rendered(results))

    def lost(self, batch_id: str, owner_epoch: int) -> None:
        """Nothing to do: another server records the batch now, and watchers read the store."""

    def reopened(self, batch: Batch) -> None:
        """A retry took outcomes of the batch away."""
        ring = self._rings.get(batch.batch_id)
        if ring is not None:
            ring.append(batch, None)

    def deleted(self, batch_id: str) -> None:
        """End the batch's watches with BatchNotFound."""
        ring = self._rings.pop(batch_id, None)
        if ring is not None:
            ring.deleted = True
            ring.wake()

    def drain(self) -> None:
        """End every watch with Draining."""
        self._draining = True
        for ring in self._rings.values():
            ring.wake()

    async def watch(
        self, tenant: str, batch_id: str, after_sequence: int, statuses: Sequence[BatchItemStatus]
    ) -> AsyncGenerator[Update, None]:
        """Follow a batch from after `after_sequence` to its terminal status.

        Raises BatchNotFound, SequenceOutOfRange, StoreUnavailable, Draining.
        """
        ring = self._rings.get(batch_id)
        if ring is None:
            ring = await self._open(tenant, batch_id)
        ring.watchers += 1
        try:
            if after_sequence > ring.last_sequence:
                raise SequenceOutOfRange(batch_id, after_sequence, ring.last_sequence)
            async for update in self._follow(ring, after_sequence, frozenset(statuses)):
                yield update
        finally:
            ring.watchers -= 1
            if not ring.watchers and self._rings.get(batch_id) is ring:
                del self._rings[batch_id]

    async def _open(self, tenant: str, batch_id: str) -> _Ring:
        batch = await self._batches.get(tenant, batch_id)
        ring = self._rings.get(batch_id)
        if ring is None:
            # What the recorder commits while this read was under way is missed here; `_follow` refreshes first.
            ring = self._rings[batch_id] = _Ring(batch)
        return ring

    async def _follow(
        self, ring: _Ring, cursor: int, statuses: frozenset[BatchItemStatus]
    ) -> AsyncGenerator[Update, None]:
        await self._refresh(ring)
        clock = asyncio.get_running_loop().time
        next_quiet_at = (
            clock()
        )  # the first message comes at once: it tells that the watch stands, and where the batch is
        while True:
            self._check(ring)
            changed, last_sequence = ring.changed, ring.last_sequence
            entries = await self._next(ring, cursor)
            if not entries:
                # Nothing is left up to here: what a retry took away leaves numbers that nobody waits for.
                cursor = max(cursor, last_sequence)
            for part in _parts(entries, self._max_update_bytes):
                cursor = part[-1].sequence
                wanted = [entry.data for entry in part if not statuses or entry.status in statuses]
                update = Update(wanted, ring.batch if cursor == ring.last_sequence else None, cursor)
                if wanted or update.is_last or clock() >= next_quiet_at:
                    yield update
                    next_quiet_at = clock() + QUIET_S
                if update.is_last:
                    return
            if cursor < ring.last_sequence:
                continue
            update = Update((), ring.batch, cursor)
            if update.is_last or clock() >= next_quiet_at:
                yield update
                next_quiet_at = clock() + QUIET_S
            elif not await _set_by(changed, next_quiet_at):
                await self._refresh(ring)
            if update.is_last:
                return

    def _check(self, ring: _Ring) -> None:
        if self._draining:
            raise Draining
        if ring.deleted:
            raise BatchNotFound(ring.batch.batch_id)

    async def _next(self, ring: _Ring, cursor: int) -> Sequence[_Rendered]:
        entries = ring.after(cursor)
        if entries is not None:
            return entries
        results = await self._outcomes.after(ring.batch.tenant, ring.batch.batch_id, cursor, STORE_ROWS)
        return self._rendered(results)

    async def _refresh(self, ring: _Ring) -> None:
        batch = await self._batches.get(ring.batch.tenant, ring.batch.batch_id)
        if batch.last_sequence >= ring.last_sequence:
            if batch.last_sequence > ring.last_sequence:
                ring.append(batch, None)
            else:
                ring.batch = batch

    def _rendered(self, results: Sequence[ItemResult]) -> list[_Rendered]:
        return [_Rendered(result.sequence or 0, result.status, self._render(result)) for result in results]


async def _set_by(event: asyncio.Event, deadline: float) -> bool:
    try:
        async with asyncio.timeout_at(deadline):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _parts(entries: Sequence[_Rendered], max_bytes: int) -> list[Sequence[_Rendered]]:
    parts: list[Sequence[_Rendered]] = []
    start = held_bytes = 0
    for position, entry in enumerate(entries):
        if position > start and held_bytes + len(entry.data) > max_bytes:
            parts.append(entries[start:position])
            start, held_bytes = position, 0
        held_bytes += len(entry.data)
    if entries:
        parts.append(entries[start:])
    return parts
