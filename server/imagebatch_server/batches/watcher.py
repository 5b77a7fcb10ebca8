"""Watches: cursors over committed outcomes.

Each watched batch has one bounded ring of recent outcomes, filled by the recorder, and so have the few newest that
nobody watches yet. A watcher reads the ring, or the store in short reads when it is behind; nothing grows with a slow
one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches.cursor import Cursor
from imagebatch_server.batches.errors import BatchNotFound, Draining, SequenceOutOfRange
from imagebatch_server.batches.model import Batch, ItemResult, Outcome
from imagebatch_server.batches.ports import BatchStore, OutcomeStore
from imagebatch_server.batches.ring import Outcomes, Place, Render, Ring, Statuses, Update

STORE_ROWS = 1_000
"""Outcomes of one short read for a watcher that is behind."""

AHEAD_WATCHERS = 2
"""So many watchers of a batch may have the store read ahead of them, a block each; more keep it busy by themselves."""

UNWATCHED_RINGS = 4
"""Batches whose outcomes are kept from the first on although nobody watches them yet: somebody usually soon does."""


class Watchers:
    """All watches of this server. A listener of the recorder."""

    def __init__(
        self,
        batches: BatchStore,
        outcomes: OutcomeStore,
        render: Render,
        pack: Callable[[Sequence[bytes], Batch | None, int], bytes],
        *,
        max_update_bytes: int,
        on_delay: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """`render` makes an outcome's bytes, `pack` a message of several, with status and sequence.

        `on_delay` hears how long after its commit an outcome was handed to a watcher (seconds).
        """
        self._batches = batches
        self._outcomes = outcomes
        self._render = render
        self._pack = pack
        self._max_update_bytes = max_update_bytes
        self._on_delay = on_delay
        self._rings: dict[str, Ring] = {}
        self._unwatched: dict[str, None] = {}
        self._cursors: set[Cursor] = set()
        self._commits = 0
        self._draining = False

    @property
    def watchers(self) -> int:
        """How many watches there are."""
        return len(self._cursors)

    @property
    def lag(self) -> int:
        """How many outcomes the slowest watcher is behind."""
        return max((cursor.ring.last_sequence - cursor.sequence for cursor in self._cursors), default=0)

    def committed(self, batch: Batch, outcomes: Sequence[Outcome], results: Sequence[ItemResult] | None) -> None:
        self._commits += 1
        ring = self._rings.get(batch.batch_id)
        if ring is None and results and len(results) == batch.last_sequence:
            ring = self._expect(batch)
        if ring is not None:
            ring.append(batch, results, time.monotonic())

    def lost(self, batch_id: str, owner_epoch: int) -> None:
        """Nothing to do: another server records the batch now, and watchers read the store."""

    def reopened(self, batch: Batch) -> None:
        """A retry took outcomes of the batch away."""
        ring = self._rings.get(batch.batch_id)
        if ring is not None:
            ring.append(batch, None, time.monotonic())

    def deleted(self, batch_id: str) -> None:
        """End the batch's watches with BatchNotFound."""
        ring = self._rings.pop(batch_id, None)
        self._unwatched.pop(batch_id, None)
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
        commits, listening = self._commits, self._rings.get(batch_id)
        batch = await self._batches.get(tenant, batch_id)
        ring = self._rings.setdefault(batch_id, Ring(batch))
        heard_all = ring is listening or commits == self._commits
        self._unwatched.pop(batch_id, None)
        cursor = Cursor(ring, after_sequence)
        self._cursors.add(cursor)
        try:
            ring.refresh(batch)
            if not heard_all:  # what was committed during that read may have been told to nobody
                await self._refresh(ring)
            if after_sequence > ring.last_sequence:
                raise SequenceOutOfRange(batch_id, after_sequence, ring.last_sequence)
            async for update in self._follow(cursor, frozenset(statuses)):
                yield update
        finally:
            self._cursors.discard(cursor)
            cursor.close()
            if not ring.bells and self._rings.get(batch_id) is ring:
                del self._rings[batch_id]

    def _expect(self, batch: Batch) -> Ring:
        """A ring for a batch whose first outcomes came before anybody watched it."""
        ring = self._rings[batch.batch_id] = Ring(batch)
        self._unwatched[batch.batch_id] = None
        if len(self._unwatched) > UNWATCHED_RINGS:
            oldest = next(iter(self._unwatched))
            del self._unwatched[oldest], self._rings[oldest]
        return ring

    async def _follow(self, cursor: Cursor, statuses: Statuses) -> AsyncGenerator[Update, None]:
        ring = cursor.ring
        while True:
            self._check(ring)
            cursor.bell.clear()
            for update in await self._updates(cursor, statuses):
                cursor.sequence = update.sequence
                if update.results or update.is_last or cursor.is_due:
                    if update.committed_at is not None:
                        self._on_delay(time.monotonic() - update.committed_at)
                    yield update
                    cursor.was_sent()
                if update.is_last:
                    return
            # Above it: the store was read before the news came of the latest that it holds.
            if cursor.sequence >= ring.last_sequence:
                await cursor.wait()
                if cursor.is_due:
                    await self._refresh(ring)

    def _check(self, ring: Ring) -> None:
        if self._draining:
            raise Draining
        if ring.deleted:
            raise BatchNotFound(ring.batch.batch_id)

    async def _updates(self, cursor: Cursor, statuses: Statuses) -> Sequence[Update]:
        """The messages that follow: the same for every watcher at this place, so made once.

        One without outcomes if none follow, or if a retry took away those that did: nobody waits for their numbers.
        """
        ring, place = cursor.ring, (cursor.sequence, statuses)
        known = ring.memo(place)
        if known is not None:
            return known
        outcomes = ring.after(cursor.sequence, self._render)
        if outcomes is None:
            return await self._stored(ring, place)
        updates = self._packed(ring, outcomes, statuses, max(ring.last_sequence, cursor.sequence))
        ring.keep(place, updates)
        return updates

    async def _stored(self, ring: Ring, place: Place) -> Sequence[Update]:
        # Shielded: a watcher that goes must not take the others' read with it.
        updates = await asyncio.shield(ring.block(place, lambda: self._read(ring, place)))
        if updates[-1].batch is None and len(ring.bells) <= AHEAD_WATCHERS:
            following = (updates[-1].sequence, place[1])
            ring.block(following, lambda: self._read(ring, following))  # while these are sent
        return updates

    async def _read(self, ring: Ring, place: Place) -> Sequence[Update]:
        sequence, statuses = place
        last_sequence = ring.last_sequence
        results = await self._outcomes.after(ring.batch.tenant, ring.batch.batch_id, sequence, STORE_ROWS)
        outcomes = Outcomes(results, [self._render(result) for result in results], None)
        return self._packed(ring, outcomes, statuses, last_sequence)

    def _packed(self, ring: Ring, outcomes: Outcomes, statuses: Statuses, last_sequence: int) -> Sequence[Update]:
        results, data = outcomes.results, outcomes.data
        if not results:
            return [self._update(ring, (), last_sequence, None)]
        updates = []
        for start, end in _parts(data, self._max_update_bytes):
            wanted = data[start:end]
            if statuses:
                wanted = [data[place] for place in range(start, end) if results[place].status in statuses]
            updates.append(self._update(ring, wanted, results[end - 1].sequence or 0, outcomes.committed_at))
        return updates

    def _update(self, ring: Ring, results: Sequence[bytes], sequence: int, committed_at: float | None) -> Update:
        batch = ring.batch if sequence == ring.last_sequence else None
        return Update(results, batch, sequence, self._pack(results, batch, sequence), committed_at)

    async def _refresh(self, ring: Ring) -> None:
        ring.refresh(await self._batches.get(ring.batch.tenant, ring.batch.batch_id))


def _parts(data: Sequence[bytes], max_bytes: int) -> Iterator[tuple[int, int]]:
    """Where each part begins and ends, so that it has at most `max_bytes`, or is one alone."""
    start = held_bytes = 0
    for position, one in enumerate(data):
        if position > start and held_bytes + len(one) > max_bytes:
            yield start, position
            start, held_bytes = position, 0
        held_bytes += len(one)
    yield start, len(data)
