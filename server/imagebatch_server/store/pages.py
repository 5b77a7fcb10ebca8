"""Reading items with their outcomes: pages by index, and outcomes by sequence.

A page without a filter is a range of the dense index and costs the same wherever it stands. With a filter the indexes
that match are found first, and the batch's counters, read on the same snapshot, tell how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches.model import Batch, ItemFilter, ItemResult
from imagebatch_server.store import results, search
from imagebatch_server.store.batch_row import read_batch
from imagebatch_server.store.item_ids import named_indexes
from imagebatch_server.store.items import recorded_indexes, recorded_statuses, unrecorded_indexes
from imagebatch_server.store.keys import BatchKey

RECORDED = (BatchItemStatus.SUCCESS, BatchItemStatus.FAILED, BatchItemStatus.SKIPPED)


def page(
    connection: Connection, key: BatchKey, match: ItemFilter, offset: int, limit: int, max_bytes: int
) -> tuple[Batch, int, Sequence[ItemResult]]:
    """Read a page in index order, with the batch and the number of matches, no text being looked for.

    Raises BatchNotFound.
    """
    batch = read_batch(connection, key)
    total, indexes = _matching(connection, key, batch, match, offset, limit)
    return batch, total, results.at_indexes(connection, key, indexes, max_bytes)


def searched(connection: Connection, key: BatchKey, match: ItemFilter, first: int) -> tuple[Sequence[int], int | None]:
    """Look for a text in a part of a batch, from index `first` on: what matches, and where to look next, if anywhere.

    Raises BatchNotFound.
    """
    batch = read_batch(connection, key)
    found = search.indexes_with_text(connection, key, batch, match, _with_outcome(_wanted(match)), first)
    following = first + search.ITEMS_A_PART
    return found, following if following < batch.total_items else None


def at(
    connection: Connection, key: BatchKey, indexes: Sequence[int], max_bytes: int
) -> tuple[Batch, Sequence[ItemResult]]:
    """Read a batch, and some of its items in index order. Raises BatchNotFound."""
    return read_batch(connection, key), results.at_indexes(connection, key, indexes, max_bytes)


def after(connection: Connection, key: BatchKey, sequence: int, limit: int, max_bytes: int) -> Sequence[ItemResult]:
    """Outcomes that follow `sequence`, in sequence order. Raises BatchNotFound."""
    return news(connection, key, sequence, limit, max_bytes)[1]


def news(
    connection: Connection, key: BatchKey, sequence: int, limit: int, max_bytes: int
) -> tuple[Batch, Sequence[ItemResult]]:
    """Read a batch, and its outcomes that follow `sequence`. Raises BatchNotFound."""
    return read_batch(connection, key), results.after(connection, key, sequence, limit, max_bytes)


def _matching(
    connection: Connection, key: BatchKey, batch: Batch, match: ItemFilter, offset: int, limit: int
) -> tuple[int, Sequence[int]]:
    """How many items match, and the indexes of those on the page."""
    wanted = _wanted(match)
    if match.error_codes:
        return search.found_indexes(connection, key, batch, match, _with_outcome(wanted), offset, limit)
    if match.item_ids:
        named = named_indexes(connection, key, batch, match.item_ids)
        statuses = recorded_statuses(connection, key, named)
        indexes = [index for index in named if statuses.get(index, BatchItemStatus.PENDING.value) in wanted]
        return len(indexes), indexes[offset : offset + limit]
    counts = {
        BatchItemStatus.PENDING: batch.total_items - batch.processed_items,
        BatchItemStatus.SUCCESS: batch.successful_items,
        BatchItemStatus.FAILED: batch.failed_items,
        BatchItemStatus.SKIPPED: batch.skipped_items,
    }
    total = sum(count for status, count in counts.items() if status in wanted)
    unwanted = [status for status, count in counts.items() if count and status not in wanted]
    everything = range(batch.total_items)
    if offset >= total:
        return total, ()
    if not unwanted:
        return total, everything[offset : offset + limit]
    if BatchItemStatus.PENDING in unwanted:
        return total, recorded_indexes(connection, key, _with_outcome(wanted), offset, limit)
    hidden = [status.value for status in unwanted]
    return total, unrecorded_indexes(connection, key, everything, offset, limit, statuses=hidden)


def _wanted(match: ItemFilter) -> set[BatchItemStatus]:
    wanted = set(match.statuses or (BatchItemStatus.PENDING, *RECORDED))
    if not match.include_failed:
        wanted.discard(BatchItemStatus.FAILED)
    return wanted


def _with_outcome(wanted: set[BatchItemStatus]) -> Sequence[str]:
    return [status.value for status in RECORDED if status in wanted]
