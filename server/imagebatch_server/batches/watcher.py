"""Watches: cursors over committed outcomes.

Each watched batch has one bounded ring of recent outcomes, filled by the recorder, and so have the few newest that
nobody watches yet, from their submission on. The ring of a batch that another server records is filled by one reader,
which the news wakes. A watcher reads the ring, or the store in short reads when it is behind; nothing grows with a slow
one.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.cursor import Cursor
from imagebatch_server.batches.errors import BatchNotFound, Draining, SequenceOutOfRange
from imagebatch_server.batches.handover import Handover
from imagebatch_server.batches.lookup import Lookup
from imagebatch_server.batches.model import Batch, ItemResult, Outcome
from imagebatch_server.batches.ports.batches import BatchStore, OutcomeStore
from imagebatch_server.batches.ports.servers import News, NewsKind
from imagebatch_server.batches.ring import Outcomes, Place, Render, Ring, Statuses, Update

STORE_ROWS = 1_000
"""Outcomes of one short read for a watcher that is behind."""

AHEAD_WATCHERS = 2
"""So many watchers of a batch may have the store read ahead of them, a block each; more keep it busy by themselves."""

UNWATCHED_RINGS = 4
"""Batches whose outcomes are kept from the first on although nobody watches them yet: somebody usually soon does."""

Delivered: TypeAlias = Callable[[str, int, float | None], None]
"""Hears up to which sequence of a batch a watcher is handed, and how long after the commit (s) if it follows."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A batch as the store has it, with the outcomes after `held_to`, unless this server's recorder tells of them."""

    batch: Batch
    results: Sequence[ItemResult] = ()
    held_to: int | None = None

    def latest(self) -> Sequence[ItemResult] | None:
        """Answer the outcomes if they are the last ones and there is none between; a retry leaves gaps."""
        first = self.batch.last_sequence - len(self.results) + 1
        is_whole = all(result.sequence == sequence for sequence, result in enumerate(self.results, start=first))
        return self.results if is_whole else None


class Watchers:
    """All watches of this server. A listener of the recorder, and a subscriber of the news."""

    def __init__(
        self,
        batches: BatchStore,
        outcomes: OutcomeStore,
        news: News,
        handover: Handover,
        render: Render,
        pack: Callable[[Sequence[bytes], Batch | None, int], bytes],
        *,
        owner: str,
        max_update_bytes: int,
        kept_s: float = math.inf,
        on_delivered: Delivered = lambda _batch_id, _sequence, _delay_s: None,
    ) -> None:
        """`render` makes an outcome's bytes, `pack` a message of several, with status and sequence.

        `owner` is this server's name as an owner of batches. What was rendered is sent within `kept_s`, or rendered
        anew. `on_delivered` hears what watchers are handed.
        """
        self._batches = batches
        self._outcomes = outcomes
        self._news = news
        self._handover = handover
        self._owner = owner
        self._render = render
        self._pack = pack
        self._max_update_bytes = max_update_bytes
        self._kept_s = kept_s
        self._on_delivered = on_delivered
        self._rings: dict[str, Ring] = {}
        self._unwatched: dict[str, None] = {}
        self._cursors: set[Cursor] = set()
        self._commits = 0
        self._draining = False
        self._lookup = Lookup(self._look_up, self._found)
        news.subscribe(self._on_news)
        news.when_missed(self._look)

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
        """Look who records the batch now."""
        ring = self._rings.get(batch_id)
        if ring is not None:
            self._lookup.ask(ring.batch.tenant, batch_id)

    def _on_news(self, kind: NewsKind, tenant: str, batch_id: str) -> None:
        new = self._handover.look(batch_id)
        if new is not None and self._is_own(new) and batch_id not in self._rings:
            self._expect(new)
        elif batch_id in self._rings and kind is not NewsKind.WATCHED:
            self._lookup.ask(tenant, batch_id)

    def _look(self) -> None:
        """Look for what was missed of batches that other servers record, and tell these who is watched still."""
        for ring in self._rings.values():
            if not self._is_own(ring.batch):
                self._tell_of_watch(ring.batch)
                self._lookup.ask(ring.batch.tenant, ring.batch.batch_id)

    def _is_own(self, batch: Batch) -> bool:
        """Whether the recorder of this server fills the batch's ring, as far as is known."""
        return batch.owner == self._owner

    def _tell_of_watch(self, batch: Batch) -> None:
        if not lifecycle.is_terminal(batch.status):
            self._news.tell_others(NewsKind.WATCHED, batch.tenant, batch.batch_id)

    async def _look_up(self, tenant: str, batch_id: str) -> _Found:
        ring = self._rings.get(batch_id)
        if ring is None or self._is_own(ring.batch):
            return _Found(await self._batches.get(tenant, batch_id))
        held_to = ring.held_to
        batch, results = await self._outcomes.news(tenant, batch_id, held_to, STORE_ROWS)
        return _Found(batch, results, held_to)

    def _found(self, batch_id: str, found: _Found | None) -> None:
        """Tell a batch's watchers how it stands now; if it is gone, their watches end with BatchNotFound."""
        ring = self._rings.get(batch_id)
        if ring is None:
            return
        if found is None:
            del self._rings[batch_id]
            self._unwatched.pop(batch_id, None)
            ring.deleted = True
        elif found.held_to == ring.held_to:
            ring.append(found.batch, found.latest(), None)
        else:
            self._take(ring, found.batch)
        ring.wake()

    def _take(self, ring: Ring, batch: Batch) -> None:
        """Take a state of a batch that was read; if it is another server's now, that one is told who watches it."""
        was_own = self._is_own(ring.batch)
        ring.refresh(batch)
        if was_own and ring.bells and not self._is_own(ring.batch):
            self._tell_of_watch(ring.batch)

    async def close(self) -> None:
        """Give up what is still looked up."""
        await self._lookup.close()

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
        if listening is not None and self._is_up_to_date(listening, tenant, after_sequence):
            batch = listening.batch
        else:
            batch = await self._batches.get(tenant, batch_id)
        ring = self._rings.setdefault(batch_id, self._new_ring(batch))
        heard_all = ring is listening or commits == self._commits
        is_first = not ring.bells
        self._unwatched.pop(batch_id, None)
        cursor = Cursor(ring, after_sequence)
        self._cursors.add(cursor)
        try:
            ring.refresh(batch)
            if is_first and not self._is_own(ring.batch):
                self._tell_of_watch(batch)  # whoever records it answers, for what came between that read and this
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

    def _is_up_to_date(self, ring: Ring, tenant: str, after_sequence: int) -> bool:
        """Whether the store would tell a tenant nothing of a batch that its ring does not hold."""
        is_running = not lifecycle.is_terminal(ring.batch.status)
        is_known = ring.batch.tenant == tenant and after_sequence <= ring.last_sequence
        return is_known and is_running and self._is_own(ring.batch)

    def _expect(self, batch: Batch) -> Ring:
        """Keep a ring for a batch whose outcomes may come before anybody watches it."""
        ring = self._rings[batch.batch_id] = self._new_ring(batch)
        self._unwatched[batch.batch_id] = None
        if len(self._unwatched) > UNWATCHED_RINGS:
            oldest = next(iter(self._unwatched))
            del self._unwatched[oldest], self._rings[oldest]
        return ring

    def _new_ring(self, batch: Batch) -> Ring:
        return Ring(batch, kept_s=self._kept_s)

    async def _follow(self, cursor: Cursor, statuses: Statuses) -> AsyncGenerator[Update, None]:
        ring = cursor.ring
        while True:
            self._check(ring)
            cursor.bell.clear()
            updates = await self._updates(cursor, statuses)
            stale_at = time.monotonic() + self._kept_s
            for update in updates:
                if time.monotonic() > stale_at:
                    break  # the reader was slow: what it is still to get is made again
                cursor.sequence = update.sequence
                if update.results or update.is_last or cursor.is_due:
                    delay_s = None if update.committed_at is None else time.monotonic() - update.committed_at
                    self._on_delivered(ring.batch.batch_id, update.sequence, delay_s)
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
        """Make the messages that follow: the same for every watcher at this place, so made once.

        One without outcomes if none follow, or if a retry took away those that did: nobody waits for their numbers.
        """
        ring, place = cursor.ring, (cursor.sequence, statuses)
        ring.renew()
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
        outcomes = Outcomes(results, [self._render(ring.batch.tenant, result) for result in results], None)
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
        self._take(ring, await self._batches.get(ring.batch.tenant, ring.batch.batch_id))


def _parts(data: Sequence[bytes], max_bytes: int) -> Iterator[tuple[int, int]]:
    """Where each part begins and ends, so that it has at most `max_bytes`, or is one alone."""
    start = held_bytes = 0
    for position, one in enumerate(data):
        if position > start and held_bytes + len(one) > max_bytes:
            yield start, position
            start, held_bytes = position, 0
        held_bytes += len(one)
    yield start, len(data)
