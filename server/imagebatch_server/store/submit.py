"""Storing a new batch, whole, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, select

from imagebatch_server.batches.errors import LimitExceeded, RequestIdReused
from imagebatch_server.batches.model import Batch, Item, StoredObject
from imagebatch_server.batches.ports import NewBatch
from imagebatch_server.store import rows
from imagebatch_server.store.dialects import INSERTS, insert_rows
from imagebatch_server.store.intake import insert_items
from imagebatch_server.store.tables import RUNNING, batch_labels, batches


def create(
    connection: Connection,
    batch: NewBatch,
    new_items: Sequence[Item],
    new_objects: Sequence[StoredObject],
    owner: str,
    max_running_batches: int,
) -> tuple[Batch, Sequence[Item]]:
    """What the port's `create` says."""
    try:
        check_room(connection, batch.tenant, max_running_batches)
        created = insert_batch(connection, rows.from_new_batch(batch, len(new_items), owner))
    except LimitExceeded:
        existing = find_request(connection, batch)
        if existing is None:
            raise
        return existing, ()
    if created is None:
        # The request_id is taken; if it has been freed since then, begin anew.
        existing = find_request(connection, batch)
        if existing is None:
            return create(connection, batch, new_items, new_objects, owner, max_running_batches)
        return existing, ()
    return created, insert_items(connection, (batch.tenant, batch.batch_id), new_items, new_objects)


def insert_batch(connection: Connection, row: dict[str, object]) -> Batch | None:
    """Insert a batch's row and its labels; None if its request_id is taken."""
    inserted = connection.execute(_INSERT_BATCH[connection.dialect.name], row).one_or_none()
    if inserted is None:
        return None
    batch = rows.to_batch(inserted)
    labels = [(batch.tenant, batch.batch_id, *label) for label in batch.options.labels.items()]
    insert_rows(connection, batch_labels, labels)
    return batch


def check_room(connection: Connection, tenant: str, max_running_batches: int) -> None:
    """Raise LimitExceeded if so many batches are running that another one must wait.

    Servers that share a database may each let one in at the same moment.
    """
    running = connection.execute(_COUNT_RUNNING, {"of_tenant": tenant}).scalar_one()
    if running >= max_running_batches:
        raise LimitExceeded(
            "max_running_batches",
            f"{running} batches are running, and this server runs at most {max_running_batches} at a time; "
            "wait for one to end, cancel one, or raise IMAGEBATCH_MAX_RUNNING_BATCHES",
            value=running,
            setting="IMAGEBATCH_MAX_RUNNING_BATCHES",
            retry_after_s=5.0,
        )


def find_request(connection: Connection, batch: NewBatch) -> Batch | None:
    """What the port's `find_request` says."""
    request_id = batch.options.request_id
    if request_id is None:
        return None
    row = connection.execute(_OF_REQUEST, {"of_tenant": batch.tenant, "of_request_id": request_id}).one_or_none()
    if row is None:
        return None
    if row.content_sha256 != batch.content_sha256:
        raise RequestIdReused(request_id, row.batch_id)
    return rows.to_batch(row)


_INSERT_BATCH = {
    dialect: insert(batches).on_conflict_do_nothing(index_elements=["tenant", "request_id"]).returning(batches)
    for dialect, insert in INSERTS.items()
}
_COUNT_RUNNING = select(func.count()).select_from(batches).where(batches.c.tenant == bindparam("of_tenant"), RUNNING)
_OF_REQUEST = select(batches).where(
    batches.c.tenant == bindparam("of_tenant"), batches.c.request_id == bindparam("of_request_id")
)
