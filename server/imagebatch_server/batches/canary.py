"""Picking the items that run before all others: a wrong prompt or a dead endpoint then costs a few items, not all."""

from __future__ import annotations

import random
from collections.abc import Sequence

from imagebatch_server.batches.model import Batch, Item
from imagebatch_server.batches.ports.batches import BatchStore

TRIES_AN_ITEM = 3


async def pick(store: BatchStore, batch: Batch, count: int) -> Sequence[Item]:
    """Pick at most `count` items without an outcome, at random over the whole batch. Raises StoreUnavailable."""
    picked: dict[int, Item] = {}
    indexes = range(batch.total_items)
    for index in random.sample(indexes, min(batch.total_items, TRIES_AN_ITEM * count)):
        if len(picked) == count:
            return list(picked.values())
        for item in await store.pending_items(batch.tenant, batch.batch_id, index - 1, 1):
            if item.duplicate_of_index is None:
                picked[item.item_index] = item
    # Few are left after a retry: take them from the start.
    for item in await store.pending_items(batch.tenant, batch.batch_id, -1, 2 * count):
        if len(picked) < count and item.duplicate_of_index is None:
            picked[item.item_index] = item
    return list(picked.values())
