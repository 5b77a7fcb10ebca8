"""Listing batches, newest first: a UUIDv7 begins with its time of creation, so its order needs no index of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select, text

from imagebatch_server.batches.model import Batch, BatchFilter
from imagebatch_server.store import rows
from imagebatch_server.store.tables import batch_labels, batches
from imagebatch_server.store.tenant_rows import OF_NO_DELETED_TENANT

LABELLED_A_READ = 500
"""Batches with a label that are looked at in one go for whether all the rest matches."""


def list_batches(
    connection: Connection, tenant: str, match: BatchFilter, limit: int, before_batch_id: str | None
) -> Sequence[Batch]:
    """Do what the port's `list` says."""
    query = _matching(tenant, match)
    if match.labels:
        return _labelled(connection, query, tenant, match.labels, limit, before_batch_id)
    if before_batch_id is not None:
        query = query.where(batches.c.batch_id < before_batch_id)
    return [rows.to_batch(row) for row in connection.execute(query.limit(limit))]


def _matching(tenant: str, match: BatchFilter) -> Select[Any]:
    """Batches that match in all but their labels."""
    query = select(batches).where(*_SHOWN, batches.c.tenant == tenant).order_by(batches.c.batch_id.desc())
    if match.statuses:
        query = query.where(batches.c.status.in_([status.value for status in match.statuses]))
    if match.operation is not None:
        query = query.where(batches.c.operation == match.operation)
    if match.created_after is not None:
        query = query.where(batches.c.created_at >= match.created_after)
    if match.created_before is not None:
        query = query.where(batches.c.created_at < match.created_before)
    return query


def _labelled(
    connection: Connection,
    query: Select[Any],
    tenant: str,
    labels: Mapping[str, str],
    limit: int,
    before_batch_id: str | None,
) -> Sequence[Batch]:
    """Go through the batches that have the first of the labels, and keep those that match in everything."""
    key, value = next(iter(labels.items()))
    with_label = _WITH_LABEL.params(of_tenant=tenant, of_key=key, of_value=value, most=LABELLED_A_READ)
    found: list[Batch] = []
    while True:
        page = with_label if before_batch_id is None else with_label.where(batch_labels.c.batch_id < before_batch_id)
        ids = connection.execute(page).scalars().all()
        candidates = (rows.to_batch(row) for row in connection.execute(query.where(batches.c.batch_id.in_(ids))))
        found += [batch for batch in candidates if labels.items() <= batch.options.labels.items()]
        if len(found) >= limit or len(ids) < LABELLED_A_READ:
            return found[:limit]
        before_batch_id = ids[-1]


_SHOWN = (text("visible"), OF_NO_DELETED_TENANT["batches"])
_WITH_LABEL = (
    select(batch_labels.c.batch_id)
    .where(
        batch_labels.c.tenant == bindparam("of_tenant"),
        batch_labels.c.key == bindparam("of_key"),
        batch_labels.c.value == bindparam("of_value"),
    )
    .order_by(batch_labels.c.batch_id.desc())
    .limit(bindparam("most"))
)
