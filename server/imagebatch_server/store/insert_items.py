"""Inserting items: which of them repeat an earlier one, and the objects that they name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import structs
from sqlalchemy import Connection, bindparam, select

from imagebatch_server.batches.model import Item, StoredObject
from imagebatch_server.store import rows
from imagebatch_server.store.driver import Prepared, insert_rows
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.tables import items, objects
from imagebatch_server.store.tenant_rows import insert_objects

T = TypeVar("T")

VALUES_A_QUERY = 1_000


def insert_items(
    connection: Connection, key: BatchKey, new_items: Sequence[Item], new_objects: Sequence[StoredObject]
) -> Sequence[Item]:
    """Insert a batch's next items and the objects that came with them; answers the items as they are stored.

    They are marked where they repeat an earlier one, and take over the types that their objects were declared to have.
    """
    stored = _marked(connection, key, _declared(connection, key[0], new_items))
    insert_objects(connection, new_objects)
    insert_rows(connection, items, [rows.from_item(key, item) for item in stored])
    return stored


def in_parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a list into parts that one query takes as parameters."""
    for start in range(0, len(values), VALUES_A_QUERY):
        yield values[start : start + VALUES_A_QUERY]


def _declared(connection: Connection, tenant: str, new_items: Sequence[Item]) -> Sequence[Item]:
    """Read the types of the uploads that the items name, and keep a sweep from removing these until it sees the items.

    What came with the items has its type already.
    """
    named = {item.object_key for item in new_items if item.object_key is not None and item.declared_type is None}
    declared: dict[str, str] = {}
    if len(named) == 1:
        row = _UPLOAD.run(connection, {"of_tenant": tenant, "of_object_key": named.pop()}).one_or_none()
        declared = {row.object_key: row.content_type} if row is not None and row.content_type else {}
    # In one order, so that two submissions or a sweep never lock two objects crosswise.
    for part in in_parts(sorted(named)):
        uploads = connection.execute(_UPLOADS, {"of_tenant": tenant, "object_keys": part})
        declared.update({row.object_key: row.content_type for row in uploads if row.content_type})
    if not declared:
        return new_items
    return [_declared_one(item, declared) for item in new_items]


def _declared_one(item: Item, declared: Mapping[str, str]) -> Item:
    found = declared.get(item.object_key or "")
    return item if found is None else structs.replace(item, declared_type=found)


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


_OF_TENANT = (
    select(objects.c.object_key, objects.c.content_type)
    .where(objects.c.tenant == bindparam("of_tenant"))
    .with_for_update(read=True, key_share=True)
)
_UPLOAD = Prepared(_OF_TENANT.where(objects.c.object_key == bindparam("of_object_key")))
_UPLOADS = _OF_TENANT.where(objects.c.object_key.in_(bindparam("object_keys", expanding=True))).order_by(
    objects.c.object_key
)
_FIRST_WITH = select(items.c.content_key, items.c.item_index).where(
    of_batch(items),
    items.c.content_key.in_(bindparam("content_keys", expanding=True)),
    items.c.duplicate_of_index.is_(None),
)
