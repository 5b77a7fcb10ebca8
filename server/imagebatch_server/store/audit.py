"""Hold a batch's row against its items and outcomes, for tests: the server itself never recounts."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select

from imagebatch_server.batches import lifecycle
from imagebatch_server.store.batch_row import read_batch
from imagebatch_server.store.counters import counted
from imagebatch_server.store.keys import of_batch, parameters
from imagebatch_server.store.tables import COUNTERS, batches, failure_clusters, items, outcomes


def audit(connection: Connection, tenant: str, batch_id: str) -> list[str]:
    """Say what is wrong with a batch, nothing if all is well. Raises BatchNotFound."""
    key = parameters((tenant, batch_id))
    batch = read_batch(connection, (tenant, batch_id))
    row = connection.execute(select(batches).where(of_batch(batches)), key).one()._mapping
    rows = connection.execute(counted().where(of_batch(outcomes)), key).one()._mapping
    wrong = [
        f"{name} is {row[name]}, but the outcomes give {rows[name]}" for name in COUNTERS if row[name] != rows[name]
    ]

    last_index, number = connection.execute(_ITEMS, key).one()
    if (number, last_index) != (batch.total_items, batch.total_items - 1):
        wrong.append(f"total_items is {batch.total_items}, but there are {number} items up to index {last_index}")
    last_sequence = connection.execute(_LAST_SEQUENCE, key).scalar_one()
    if last_sequence > batch.last_sequence:
        wrong.append(f"last_sequence is {batch.last_sequence}, but an outcome has {last_sequence}")
    strangers = connection.execute(_STRANGERS, {**key, "total": batch.total_items}).scalar_one()
    if strangers:
        wrong.append(f"{strangers} outcomes belong to no item")

    counted_in = {row[0]: row[1] for row in connection.execute(_COUNTED, key)}
    held_in = {row[0]: row[1] for row in connection.execute(_HELD, key)}
    wrong += [
        f"cluster {cluster_id} counts {counted_in.get(cluster_id)} items, but has {held_in.get(cluster_id)}"
        for cluster_id in sorted(counted_in.keys() | held_in.keys())
        if counted_in.get(cluster_id) != held_in.get(cluster_id)
    ]

    is_whole = batch.processed_items == batch.total_items
    if is_whole != lifecycle.is_terminal(batch.status) or is_whole != (batch.completed_at is not None):
        wrong.append(
            f"{batch.processed_items} of {batch.total_items} items have outcomes, but the status is "
            f"{batch.status.value} and completed_at {batch.completed_at}"
        )
    elif is_whole and batch.status is not lifecycle.terminal_status(batch):
        wrong.append(f"the status is {batch.status.value}, not {lifecycle.terminal_status(batch).value}")
    return wrong


_ITEMS = select(func.max(items.c.item_index), func.count()).where(of_batch(items))
_LAST_SEQUENCE = select(func.coalesce(func.max(outcomes.c.sequence), 0)).where(of_batch(outcomes))
_HELD = (
    select(outcomes.c.cluster_id, func.count())
    .where(of_batch(outcomes), outcomes.c.cluster_id.is_not(None))
    .group_by(outcomes.c.cluster_id)
)
_COUNTED = select(failure_clusters.c.cluster_id, failure_clusters.c["count"]).where(of_batch(failure_clusters))
_STRANGERS = (
    select(func.count())
    .select_from(outcomes)
    .where(of_batch(outcomes), (outcomes.c.item_index < 0) | (outcomes.c.item_index >= bindparam("total")))
)
