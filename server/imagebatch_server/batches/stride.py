"""Whose turn it is: shares of the workers' time, taken first between tenants and then between a tenant's batches.

Both are shared in the same way (`batches.turns`): tenants by their weight, batches by their priority. A batch that
becomes ready starts at the pass being served, so its first item takes the tenant's next free slot, and time that it
did not ask for is not saved up. A tenant saves up a little (`SAVED_ITEMS`, `SAVED_MS`), so that a few items of one that
was idle go before all that wait of one that always has work; what follows them pays for it. What was brought ahead of
the workers waits too: it goes before that as well.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from imagebatch_server.batches.running import Charge, RunningBatch
from imagebatch_server.batches.turns import Kind, Turns
from imagebatch_server.moving_average import MovingAverage

SHARE_MS = 20.0
"""About the work that a batch is given in one turn."""

MOST_ITEMS_A_TURN = 64
LEAST_ITEM_MS = 0.05
"""What an item costs at the least: measured times of a fraction of a millisecond round to nothing."""

SAVED_ITEMS = 10
SAVED_MS = 250.0
"""What a tenant may have before its turn, after it let others have as much: so many items, or more quick ones."""


_ANY_KIND = tuple(Kind)
_KINDS = {
    (stored, fetched): tuple(kind for kind, is_open in ((Kind.STORED, stored), (Kind.FETCHED, fetched)) if is_open)
    for stored in (False, True)
    for fetched in (False, True)
}
"""By whether there is room for what is stored and for what is fetched: the kinds whose turn may come."""


class Stride:
    """Keep the batches that have an item at hand, and tell whose turn it is."""

    def __init__(self, weight: Callable[[str], float], first_turn_ms: Callable[[], float] = lambda: math.inf) -> None:
        """`weight` tells a tenant's weight, which may change; `first_turn_ms` a tenant's turn that comes next.

        The latter is of what had its turn here and waits for a worker.
        """
        self._weight = weight
        self._tenants: Turns[str] = Turns(first_turn_ms)
        # A tenant's pass is kept when it has no batch any more: what it had before its turn it owes to the others.
        self._batches: defaultdict[str, Turns[RunningBatch]] = defaultdict(Turns)
        self._item_ms: defaultdict[str, MovingAverage] = defaultdict(lambda: MovingAverage(SHARE_MS))

    def enter(self, running: RunningBatch) -> None:
        """Let a batch that has an item at hand take turns."""
        batch, kind = running.batch, _kind(running)
        saved_ms = max(SAVED_ITEMS * self._estimate_ms(running), SAVED_MS)
        self._batches[batch.tenant].enter(running, kind, batch.options.priority)
        self._tenants.enter(batch.tenant, kind, self._weight(batch.tenant), saved_ms)

    def leave(self, running: RunningBatch) -> None:
        """Forget a batch that was closed."""
        tenant = running.batch.tenant
        self._batches[tenant].leave(running)
        if self._batches[tenant].is_empty:
            del self._batches[tenant]

    def next(self, *, stored: bool, fetched: bool, before_ms: float = math.inf) -> RunningBatch | None:
        """Take out the batch whose turn it is, among those whose next item may go now.

        None, too, if its tenant's turn comes no sooner than `before_ms`.
        """
        kinds = _KINDS[stored, fetched]
        if not kinds or before_ms == -math.inf:
            return None
        while (found := self._tenants.next(kinds, before_ms)) is not None:
            tenant, _ = found
            batches = self._batches.get(tenant)
            if batches is None:
                continue
            running = _next(batches, kinds)
            for kind in _ANY_KIND:
                if batches.waits(kind):
                    self._tenants.enter(tenant, kind, self._weight(tenant), math.inf)  # it has not stopped waiting
            if running is not None:
                return running
        return None

    def items_a_turn(self, running: RunningBatch) -> int:
        """Answer how many items the batch may dispatch in its turn."""
        return max(1, min(MOST_ITEMS_A_TURN, int(SHARE_MS / self._estimate_ms(running))))

    def knows(self, running: RunningBatch) -> bool:
        """Whether it is known what the batch's items usually take."""
        return not self._item_ms[running.batch.options.operation].is_assumed

    def charge(self, running: RunningBatch) -> Charge:
        """Charge one item in advance, by what its operation's usually take; nothing as long as that is unknown.

        To charge too much would let whoever comes now start too far ahead of those that get something back later.
        """
        usual = self._item_ms[running.batch.options.operation]
        estimated_ms = 0.0 if usual.is_assumed else usual.value
        return Charge(estimated_ms, self._advance(running, estimated_ms))

    def settle(self, running: RunningBatch, estimated_ms: float, actual_ms: float) -> None:
        """Correct the charge by what the item took (milliseconds)."""
        actual_ms = max(actual_ms, LEAST_ITEM_MS)
        self._advance(running, actual_ms - estimated_ms)
        self._item_ms[running.batch.options.operation].observe(actual_ms)

    def _advance(self, running: RunningBatch, work_ms: float) -> float:
        """Move the batch's pass and its tenant's; answers where the tenant stood."""
        tenant = running.batch.tenant
        self._batches[tenant].advance(running, work_ms)
        return self._tenants.advance(tenant, work_ms)

    def _estimate_ms(self, running: RunningBatch) -> float:
        return self._item_ms[running.batch.options.operation].value


def _kind(running: RunningBatch) -> Kind:
    item = running.next_item
    return Kind.FETCHED if item is not None and item.is_fetched else Kind.STORED


def _next(batches: Turns[RunningBatch], kinds: Sequence[Kind]) -> RunningBatch | None:
    while (found := batches.next(kinds)) is not None:
        running, kind = found
        if running.next_item is None:
            continue
        if kind is _kind(running):
            return running
        # An item of the other kind came in front.
        batches.enter(running, _kind(running), running.batch.options.priority)
    return None
