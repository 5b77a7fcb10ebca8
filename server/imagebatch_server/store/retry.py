"""Reopening a batch: its failed items lose their outcomes.

It takes one transaction, however many items failed: in parts, a crash between them would leave a batch of which nobody
knows what is still to be reopened.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, null, select, update

from imagebatch.v1.enums import BatchItemStatus, BatchStatus, ItemErrorCode
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.errors import BatchNotRetryable, RequestIdReused
from imagebatch_server.batches.model import Batch, RetryRequest
from imagebatch_server.batches.quotas import Quotas
from imagebatch_server.store import rows
from imagebatch_server.store.batch_row import read_batch
from imagebatch_server.store.counters import counted
from imagebatch_server.store.failure_clusters import count_again, in_cluster
from imagebatch_server.store.item_ids import named_indexes
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.tables import COUNTERS, UNSUCCESSFUL, batches, outcomes, retries
from imagebatch_server.store.tenant_rows import check_room

REMEMBERED_FOR = timedelta(days=1)
"""A retry's request_id is known so long."""


def retry(
    connection: Connection,
    key: BatchKey,
    request: RetryRequest,
    at: datetime,
    owner_for: Callable[[str], str],
    quotas: Quotas,
) -> tuple[Batch, bool]:
    """Do what the port's `retry` says. The batch is from then on whose `owner_for` says for its operation."""
    batch = read_batch(connection, key, lock=True)
    if request.request_id is not None and not _is_first(connection, key, request, at):
        return batch, False
    if not lifecycle.is_terminal(batch.status):
        return batch, False
    if batch.status is BatchStatus.CANCELLED:
        raise BatchNotRetryable(batch.batch_id, batch.status)
    chosen = [of_batch(outcomes), UNSUCCESSFUL, _LOST]
    if request.error_codes:
        chosen.append(outcomes.c.error_code.in_(request.error_codes))
    if request.item_ids:
        chosen.append(outcomes.c.item_index.in_(named_indexes(connection, key, batch, request.item_ids)))
    if request.cluster_id is not None:
        chosen.append(in_cluster(request.cluster_id))
    lost = connection.execute(counted().where(*chosen), parameters(key)).one()._mapping
    reopened_items = lost["failed_items"] + lost["skipped_items"]
    if not reopened_items:
        return batch, False
    check_room(connection, key[0], quotas, new_items=reopened_items)
    less = {f"less_{counter}": lost[counter] for counter in COUNTERS}
    new = {"new_owner": owner_for(batch.options.operation)}
    reopened = connection.execute(_REOPEN, {**parameters(key), **less, **new}).one()
    connection.execute(delete(outcomes).where(*chosen), parameters(key))
    count_again(connection, key)
    return rows.to_batch(reopened), True


def _is_first(connection: Connection, key: BatchKey, request: RetryRequest, at: datetime) -> bool:
    """Remember the request_id, unless it is known. Raises RequestIdReused if it asked for something else then.

    The batch's row is locked, so no other retry of it comes between. What a transaction that fails has remembered goes
    with it.
    """
    connection.execute(_FORGET, {**parameters(key), "before": at - REMEMBERED_FOR})
    known = connection.execute(_REMEMBERED, {**parameters(key), "of_request_id": request.request_id}).scalar()
    if known is None:
        tenant, batch_id = key
        row = {"tenant": tenant, "batch_id": batch_id, "request_id": request.request_id}
        connection.execute(insert(retries), {**row, "content_sha256": request.content_sha256, "requested_at": at})
        return True
    if known != request.content_sha256:
        raise RequestIdReused(str(request.request_id), key[1], use="retried")
    return False


def _less(counter: str) -> Any:
    return batches.c[counter] - bindparam(f"less_{counter}")


_LOST = (outcomes.c.status == BatchItemStatus.FAILED.value) | (
    (outcomes.c.status == BatchItemStatus.SKIPPED.value) & (outcomes.c.error_code == ItemErrorCode.FAILURE_LIMIT.value)
)
_REOPEN = (
    update(batches)
    .where(of_batch(batches))
    .values({counter: _less(counter) for counter in COUNTERS})
    .values(
        status=BatchStatus.PROCESSING.value,
        completed_at=None,
        outcomes_per_s=None,
        rate_error=None,
        rated_at=None,
        waiting=null(),
        judged_from_successful=_less("successful_items"),
        judged_from_failed=_less("failed_items"),
        owner=bindparam("new_owner"),
        owner_epoch=batches.c.owner_epoch + 1,
    )
    .returning(batches)
)
_FORGET = delete(retries).where(of_batch(retries), retries.c.requested_at < bindparam("before"))
_REMEMBERED = select(retries.c.content_sha256).where(
    of_batch(retries), retries.c.request_id == bindparam("of_request_id")
)
