"""Storing a new batch, whole, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select

from imagebatch_server.batches.errors import RequestIdReused
from imagebatch_server.batches.model import Batch, Item, StoredObject
from imagebatch_server.batches.ports.batches import NewBatch
from imagebatch_server.batches.quotas import Quotas
from imagebatch_server.store import rows
from imagebatch_server.store.dialects import INSERTS
from imagebatch_server.store.driver import Answer, Prepared, insert_rows, together
from imagebatch_server.store.insert_items import insert_items
from imagebatch_server.store.tables import batch_labels, batches
from imagebatch_server.store.tenant_rows import OF_NO_DELETED_TENANT, Room


def create(
    connection: Connection,
    batch: NewBatch,
    new_items: Sequence[Item],
    new_objects: Sequence[StoredObject],
    owner: str,
    quotas: Quotas,
) -> tuple[Batch, Sequence[Item]]:
    """Do what the port's `create` says."""
    with together(connection):
        room = Room(connection, batch.tenant, quotas)
        inserted = _INSERT_BATCH.run(connection, rows.from_new_batch(batch, len(new_items), owner))
    room.ensure_tenant()
    created = _inserted(connection, inserted)
    if created is None:
        # The request_id is taken; if it has been freed since then, begin anew.
        existing = find_request(connection, batch)
        if existing is None:
            return create(connection, batch, new_items, new_objects, owner, quotas)
        return existing, ()
    room.check(new_items=len(new_items), new_bytes=sum(stored.size_bytes for stored in new_objects))
    return created, insert_items(connection, (batch.tenant, batch.batch_id), new_items, new_objects)


def insert_batch(connection: Connection, row: dict[str, object]) -> Batch | None:
    """Insert a batch's row and its labels; None if its request_id is taken."""
    return _inserted(connection, _INSERT_BATCH.run(connection, row))


def _inserted(connection: Connection, answer: Answer) -> Batch | None:
    row = answer.one_or_none()
    if row is None:
        return None
    batch = rows.to_batch(row)
    insert_labels(connection, batch)
    return batch


def insert_labels(connection: Connection, batch: Batch) -> None:
    """Index a batch's labels, of which none is indexed."""
    labels = [(batch.tenant, batch.batch_id, *label) for label in batch.options.labels.items()]
    insert_rows(connection, batch_labels, labels)


def find_request(connection: Connection, batch: NewBatch) -> Batch | None:
    """Do what the port's `find_request` says."""
    request_id = batch.options.request_id
    if request_id is None:
        return None
    row = connection.execute(_OF_REQUEST, {"of_tenant": batch.tenant, "of_request_id": request_id}).one_or_none()
    if row is None:
        return None
    if row.content_sha256 != batch.content_sha256:
        raise RequestIdReused(request_id, row.batch_id, use="made")
    return rows.to_batch(row)


_INSERT_BATCH = Prepared(
    {
        dialect: insert(batches).on_conflict_do_nothing(index_elements=["tenant", "request_id"]).returning(batches)
        for dialect, insert in INSERTS.items()
    }
)
_OF_REQUEST = select(batches).where(
    batches.c.tenant == bindparam("of_tenant"),
    batches.c.request_id == bindparam("of_request_id"),
    OF_NO_DELETED_TENANT["batches"],
)
