"""Batches whose items come in parts: staged where nothing sees them, then published whole, or given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.exc import IntegrityError

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.batches.model import Batch, Item, StoredObject
from imagebatch_server.batches.ports.batches import NewBatch
from imagebatch_server.batches.quotas import Quotas
from imagebatch_server.store import rows
from imagebatch_server.store.dialects import INSERTS
from imagebatch_server.store.insert_items import in_parts, insert_items
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.servers import is_left
from imagebatch_server.store.submit import find_request, insert_batch
from imagebatch_server.store.tables import STAGED, batches, items
from imagebatch_server.store.tenant_rows import check_room, hold


def stage(connection: Connection, batch: NewBatch, owner: str) -> None:
    """Do what the port's `stage` says."""
    hold(connection, batch.tenant)
    insert_batch(connection, {**rows.from_new_batch(batch, 0, owner), "visible": False, "request_id": None})


def stage_items(
    connection: Connection,
    batch: NewBatch,
    new_items: Sequence[Item],
    new_objects: Sequence[StoredObject],
    quotas: Quotas,
) -> None:
    """Do what the port's `stage_items` says."""
    key = (batch.tenant, batch.batch_id)
    grown = connection.execute(_GROW, {**parameters(key), "by": len(new_items)})
    if not grown.rowcount:
        raise _gone(batch)
    stored_bytes = hold(connection, batch.tenant)
    if new_objects:
        quotas.check_stored(stored_bytes + sum(stored.size_bytes for stored in new_objects))
    insert_items(connection, key, new_items, new_objects)


def known_item_ids(connection: Connection, key: BatchKey, item_ids: Sequence[str]) -> Mapping[str, int]:
    """Do what the port's `known_item_ids` says."""
    known: dict[str, int] = {}
    for part in in_parts(item_ids):
        found = connection.execute(_OWN_IDS, {**parameters(key), "item_ids": part})
        known.update({row.item_id: row.item_index for row in found})
    return known


def publish(connection: Connection, batch: NewBatch, total_items: int, owner: str, quotas: Quotas) -> Batch:
    """Do what the port's `publish` says."""
    existing = find_request(connection, batch)
    if existing is not None:
        return existing
    check_room(connection, batch.tenant, quotas, new_items=total_items)
    values = {"new_request_id": batch.options.request_id, "staged_items": total_items, "new_owner": owner}
    try:
        with connection.begin_nested():
            row = connection.execute(_PUBLISH, {**parameters((batch.tenant, batch.batch_id)), **values}).one_or_none()
    except IntegrityError:
        # Another server has just made a batch with this request_id: begin anew, and find it.
        return publish(connection, batch, total_items, owner, quotas)
    if row is None:
        raise _gone(batch)
    return rows.to_batch(row)


def discard(connection: Connection, key: BatchKey) -> None:
    """Do what the port's `discard` says."""
    connection.execute(_DISCARD, parameters(key))


def discard_staged(connection: Connection, owner: str) -> int:
    """Do what the port's `discard_staged` says for the server `owner`, which lives."""
    return connection.execute(_DISCARD_STAGED[connection.dialect.name], {"own": owner}).rowcount


def _gone(batch: NewBatch) -> StoreUnavailable:
    return StoreUnavailable(f"what came in of batch {batch.batch_id} was given up meanwhile")


_GROW = update(batches).where(of_batch(batches), STAGED).values(total_items=batches.c.total_items + bindparam("by"))
_PUBLISH = (
    update(batches)
    .where(of_batch(batches), STAGED, batches.c.total_items == bindparam("staged_items"))
    .values(visible=True, request_id=bindparam("new_request_id"), owner=bindparam("new_owner"))
    .returning(batches)
)
_DISCARD = update(batches).where(of_batch(batches), STAGED).values(status=BatchStatus.CANCELLED.value)
_DISCARD_STAGED = {
    dialect: update(batches)
    .where(STAGED, is_left(batches.c.owner, dialect, own="own"))
    .values(status=BatchStatus.CANCELLED.value)
    for dialect in INSERTS
}
_OWN_IDS = select(items.c.item_id, items.c.item_index).where(
    of_batch(items), items.c.item_id.in_(bindparam("item_ids", expanding=True))
)
