"""Which items callers mean by the ids that they gave them, or that stand in for those."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select

from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.model import Batch
from imagebatch_server.store.items import items_at
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.tables import items


def named_indexes(connection: Connection, key: BatchKey, batch: Batch, item_ids: Sequence[str]) -> list[int]:
    """Indexes of the items with these ids, ascending; ids that no item has are passed over."""
    own = connection.execute(_OWN_IDS, {**parameters(key), "item_ids": item_ids}).scalars()
    derived = {lifecycle.derived_index(batch.batch_id, item_id) for item_id in item_ids}
    candidates = sorted(index for index in derived if 0 <= index < batch.total_items)
    without_id = [item.item_index for item in items_at(connection, key, candidates) if item.item_id is None]
    return sorted({*own, *without_id})


_OWN_IDS = select(items.c.item_index).where(of_batch(items), items.c.item_id.in_(bindparam("item_ids", expanding=True)))
