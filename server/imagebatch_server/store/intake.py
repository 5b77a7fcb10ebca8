"""Inserting items: which of them repeat an earlier one, and the objects that they name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from msgspec import structs
from sqlalchemy import Connection, bindparam, insert, select

from imagebatch_server.batches.model import Item, StoredObject
from imagebatch_server.store import rows
from imagebatch_server.store.dialects import insert_rows, locks_rows
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.tables import items, objects

T = TypeVar("T")

VALUES_A_QUERY = 1_000


def insert_items(
    connection: Connection, key: BatchKey, new_items: Sequence[Item], new_objects: Sequence[StoredObject]
) -> None:
    """Insert a batch's next items, marked where they repeat an earlier one, and the objects that came with them."""
    _keep_objects(connection, key[0], new_items)
    if new_objects:
        connection.execute(insert(objects), [rows.from_object(stored) for stored in new_objects])
    insert_rows(connection, items, [rows.from_item(key, item) for item in _marked(connection, key, new_items)])


def in_parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a list into parts that one query takes as parameters."""
    for start in range(0, len(values), VALUES_A_QUERY):
        yield values[start : start + VALUES_A_QUERY]


def _keep_objects(connection: Connection, tenant: str, new_items: Sequence[Item]) -> None:
    """Keep a sweep from removing the objects that the items name, until they are committed and it sees them."""
    if not locks_rows(connection):
        return
    # In one order, so that two submissions or a sweep never lock two objects crosswise.
    for part in in_parts(sorted({item.object_key for item in new_items if item.object_key is not None})):
        connection.execute(_KEEP, {"of_tenant": tenant, "object_keys": part})


def _marked(connection: Connection, key: BatchKey, new_items: Sequence[Item]) -> Sequence[Item]:
    content_keys = list({item.content_key for item in new_items if item.content_key is not None})
    if not content_keys:
        return new_items
    first_with: dict[bytes, int] = {}
    for part in in_parts(content_keys):
        known = connection.execute(_FIRST_WITH, {**parameters(key), "content_keys": part})
        first_with.update({row.content_key: row.item_index for row in known})
    return [_marked_one(item, first_with) for item in new_items]


def _marked_one(item: Item, first_with: dict[bytes, int]) -> Item:
    if item.content_key is None:
        return item
    first = first_with.setdefault(item.content_key, item.item_index)
    return item if first == item.item_index else structs.replace(item, duplicate_of_index=first)


_KEEP = (
    select(objects.c.object_key)
    .where(
        objects.c.tenant == bindparam("of_tenant"), objects.c.object_key.in_(bindparam("object_keys", expanding=True))
    )
    .order_by(objects.c.object_key)
    .with_for_update(read=True, key_share=True)
)
_FIRST_WITH = select(items.c.content_key, items.c.item_index).where(
    of_batch(items),
    items.c.content_key.in_(bindparam("content_keys", expanding=True)),
    items.c.duplicate_of_index.is_(None),
)
