"""Watches: cursors over committed outcomes.

Each watched batch has one bounded ring of recent outcomes, filled by the recorder. A watcher reads the ring, or the
store in short reads when it is behind; nothing grows with a slow one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches import ring as rings
from imagebatch_server.batches.errors import BatchNotFound, Draining, SequenceOutOfRange
from imagebatch_server.batches.model import Batch, ItemResult, Outcome
from imagebatch_server.batches.ports import BatchStore, OutcomeStore
from imagebatch_server.batches.ring import Place, Rendered, Ring, Statuses, Update

STORE_ROWS = 500
"""Outcomes of one short read for a watcher that is behind."""

QUIET_S = 5.0
"""With nothing new, a watcher is sent the status after this time: proxies cut silent streams."""


@dataclass(slots=True, eq=False)
class _Cursor:
    """Where one watcher is."""

    ring: Ring
    sequence: int


class Watchers:
    """All watches of this server. A listener of the recorder."""

    def __init__(
        self,
        batches: BatchStore,
        outcomes: OutcomeStore,
        render: Callable[[ItemResult], bytes],
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
        self._cursors: set[_Cursor] = set()
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
        ring = self._rings.get(batch.batch_id)
        if ring is not None:
            ring.append(batch, None if results is None else self._rendered(results, rings.now()))

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
        cursor = _Cursor(ring, after_sequence)
        ring.watchers += 1
        self._cursors.add(cursor)
        try:
            await self._refresh(ring)
            if after_sequence > ring.last_sequence:
                raise SequenceOutOfRange(batch_id, after_sequence, ring.last_sequence)
            async for update in self._follow(cursor, frozenset(statuses)):
                yield update
        finally:
            self._cursors.discard(cursor)
            ring.watchers -= 1
            if not ring.watchers and self._rings.get(batch_id) is ring:
                del self._rings[batch_id]

    async def _open(self, tenant: str, batch_id: str) -> Ring:
        batch = await self._batches.get(tenant, batch_id)
        # What the recorder commits while this read is under way is missed here; `watch` refreshes before it begins.
        return self._rings.setdefault(batch_id, Ring(batch))

    async def _follow(self, cursor: _Cursor, statuses: Statuses) -> AsyncGenerator[Update, None]:
        ring = cursor.ring
        clock = asyncio.get_running_loop().time
        next_quiet_at = (
            clock()
        )  # the first message comes at once: it tells that the watch stands, and where the batch is
        while True:
            self._check(ring)
            changed = ring.changed
            for update in await self._updates(cursor, statuses):
                cursor.sequence = update.sequence
                if update.results or update.is_last or clock() >= next_quiet_at:
                    if update.committed_at is not None:
                        self._on_delay(rings.now() - update.committed_at)
                    yield update
                    next_quiet_at = clock() + QUIET_S
                if update.is_last:
                    return
            # Above it: the store was read before the news came of the latest that it holds.
            if cursor.sequence >= ring.last_sequence and not await _set_by(changed, next_quiet_at):
                await self._refresh(ring)

    def _check(self, ring: Ring) -> None:
        if self._draining:
            raise Draining
        if ring.deleted:
            raise BatchNotFound(ring.batch.batch_id)

    async def _updates(self, cursor: _Cursor, statuses: Statuses) -> Sequence[Update]:
        """The messages that follow: the same for every watcher at this place, so made once.

        One without outcomes if none follow, or if a retry took away those that did: nobody waits for their numbers.
        """
        ring, place = cursor.ring, (cursor.sequence, statuses)
        known = ring.memo(place)
        if known is not None:
            return known
        entries = ring.after(cursor.sequence)
        if entries is None:
            return await ring.block(place, lambda: self._read(ring, place))
        updates = self._packed(ring, entries, statuses, max(ring.last_sequence, cursor.sequence))
        ring.keep(place, updates)
        return updates

    async def _read(self, ring: Ring, place: Place) -> Sequence[Update]:
        sequence, statuses = place
        last_sequence = ring.last_sequence
        results = await self._outcomes.after(ring.batch.tenant, ring.batch.batch_id, sequence, STORE_ROWS)
        return self._packed(ring, self._rendered(results, None), statuses, last_sequence)

    def _packed(
        self, ring: Ring, entries: Sequence[Rendered], statuses: Statuses, last_sequence: int
    ) -> Sequence[Update]:
        if not entries:
            return [self._update(ring, (), last_sequence, None)]
        updates = []
        for part in _parts(entries, self._max_update_bytes):
            wanted = [entry.data for entry in part if not statuses or entry.status in statuses]
            updates.append(self._update(ring, wanted, part[-1].sequence, part[0].committed_at))
        return updates

    def _update(self, ring: Ring, results: Sequence[bytes], sequence: int, committed_at: float | None) -> Update:
        batch = ring.batch if sequence == ring.last_sequence else None
        return Update(results, batch, sequence, self._pack(results, batch, sequence), committed_at)

    async def _refresh(self, ring: Ring) -> None:
        batch = await self._batches.get(ring.batch.tenant, ring.batch.batch_id)
        if batch.last_sequence > ring.last_sequence:
            ring.append(batch, None)
        elif batch.last_sequence == ring.last_sequence:
            ring.refresh(batch)

    def _rendered(self, results: Sequence[ItemResult], committed_at: float | None) -> list[Rendered]:
        return [Rendered(result.sequence or 0, result.status, self._render(result), committed_at) for result in results]


async def _set_by(event: asyncio.Event, deadline: float) -> bool:
    try:
        async with asyncio.timeout_at(deadline):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _parts(entries: Sequence[Rendered], max_bytes: int) -> list[Sequence[Rendered]]:
    parts: list[Sequence[Rendered]] = []
    start = held_bytes = 0
    for position, entry in enumerate(entries):
        if position > start and held_bytes + len(entry.data) > max_bytes:
            parts.append(entries[start:position])
            start, held_bytes = position, 0
        held_bytes += len(entry.data)
    parts.append(entries[start:])
    return parts
