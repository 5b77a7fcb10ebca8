"""Reopening a batch: its failed items lose their outcomes.

It takes one transaction, however many items failed: in parts, a crash between them would leave a batch of which nobody
knows what is still to be reopened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, true, update

from imagebatch.v1.enums import BatchItemStatus, BatchStatus, ItemErrorCode
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.errors import BatchNotRetryable
from imagebatch_server.batches.model import Batch
from imagebatch_server.store import rows
from imagebatch_server.store.counters import counted
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.reading import read_batch
from imagebatch_server.store.submit import check_room
from imagebatch_server.store.tables import COUNTERS, UNSUCCESSFUL, batches, outcomes


def retry(
    connection: Connection,
    key: BatchKey,
    error_codes: Sequence[ItemErrorCode],
    owner: str,
    max_running_batches: int,
) -> tuple[Batch, bool]:
    """What the port's `retry` says. The batch is the owner's from then on."""
    batch = read_batch(connection, key, lock=True)
    if not lifecycle.is_terminal(batch.status):
        return batch, False
    if batch.status is BatchStatus.CANCELLED:
        raise BatchNotRetryable(batch.batch_id, batch.status)
    chosen = [
        of_batch(outcomes),
        UNSUCCESSFUL,
        _LOST,
        outcomes.c.error_code.in_(error_codes) if error_codes else true(),
    ]
    lost = connection.execute(counted().where(*chosen), parameters(key)).one()._mapping
    if not lost["failed_items"] + lost["skipped_items"]:
        return batch, False
    check_room(connection, key[0], max_running_batches)
    less = {f"less_{counter}": lost[counter] for counter in COUNTERS}
    reopened = connection.execute(_REOPEN, {**parameters(key), **less, "new_owner": owner}).one()
    connection.execute(delete(outcomes).where(*chosen), parameters(key))
    return rows.to_batch(reopened), True


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
        rated_at=None,
        judged_from_successful=_less("successful_items"),
        judged_from_failed=_less("failed_items"),
        owner=bindparam("new_owner"),
        owner_epoch=batches.c.owner_epoch + 1,
    )
    .returning(batches)
)
