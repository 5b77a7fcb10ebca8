"""The rules of a batch's life, as pure functions; the store applies them conditionally."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.backoff import Backoff
from imagebatch_server.batches.model import Batch, BatchOptions, Item

TERMINAL = frozenset(
    {BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.CANCELLED, BatchStatus.PARTIALLY_COMPLETED}
)

RATE_WINDOW_S = 60.0
"""The rate behind `estimated_completion_time` is taken over this time."""

OUTCOMES_FOR_ESTIMATE = 20
"""Before so many outcomes there is no estimate."""

OUTCOMES_TO_JUDGE = 20
"""From so many outcomes on `failure_limit` is judged, where no canary says otherwise."""

DRIFT = 0.1
"""By this part the rest of a batch goes otherwise than all that is known of it; the row `estimate` holds it to that."""

MOST_OFF = 0.6
"""A range is never wider than this makes it: where less is known, it says nothing."""

LEAST_LAST_S = 0.2
"""What the last outcomes take to be recorded."""

_ATTEMPTS = Backoff(first_s=0.5, longest_s=30.0)


def backoff_s(attempt: int) -> float:
    """How long to wait after attempt number `attempt` (from 1) failed: exponential, with jitter of half to whole.

    The jitter keeps items that failed together, such as those of one host, from coming back together.
    """
    return _ATTEMPTS.after(attempt) * random.uniform(0.5, 1.0)


def is_terminal(status: BatchStatus) -> bool:
    """Whether a batch of this status never changes again, except by RetryBatch."""
    return status in TERMINAL


def terminal_status(batch: Batch) -> BatchStatus:
    """Decide the status of a batch whose every item has an outcome."""
    if batch.cancel_requested_at is not None:
        return BatchStatus.CANCELLED
    if batch.failed_items == 0:
        return BatchStatus.COMPLETED
    if batch.successful_items == 0:
        return BatchStatus.FAILED
    return BatchStatus.PARTIALLY_COMPLETED


def is_past_failure_limit(options: BatchOptions, successful: int, failed: int) -> bool:
    """Whether too large a share of the items that ended since the submit or the last retry has failed.

    The rest of the batch is to be skipped then.
    """
    judged = successful + failed
    if options.failure_limit is None or judged < (options.canary or OUTCOMES_TO_JUDGE):
        return False
    return failed > options.failure_limit * judged


def success_rate(batch: Batch) -> float:
    """Compute successful / processed, 0 to 1; 0 when nothing is processed."""
    return batch.successful_items / batch.processed_items if batch.processed_items else 0.0


def progress_percentage(batch: Batch) -> float:
    """100 * processed / total."""
    return 100.0 * batch.processed_items / batch.total_items


def avg_processing_time_ms(batch: Batch) -> int | None:
    """Mean over the items that have a time."""
    return round(batch.processing_time_ms / batch.timed_items) if batch.timed_items else None


def estimated_completion_time(batch: Batch, now: datetime) -> datetime | None:
    """When the batch may be complete at the rate of the last minute; None while that says nothing, or it is paused."""
    if is_terminal(batch.status) or batch.outcomes_per_s is None or batch.rated_at is None:
        return None
    if batch.paused_at is not None:
        return None
    if now - batch.rated_at > timedelta(seconds=RATE_WINDOW_S) or batch.outcomes_per_s <= 0:
        return None
    remaining = batch.total_items - batch.processed_items
    return batch.rated_at + timedelta(seconds=remaining / batch.outcomes_per_s)


def completion_range(batch: Batch, now: datetime) -> tuple[datetime, datetime] | None:
    """Tell between which times the batch ends, in four cases of five, where there is an estimate.

    The rate may be off by as much as earlier ones of the batch were (`rate.Rate`), and the rest may go otherwise than
    anything before.
    """
    if estimated_completion_time(batch, now) is None or batch.outcomes_per_s is None or batch.rated_at is None:
        return None
    rate = batch.outcomes_per_s
    left_s = max((batch.total_items - batch.processed_items) / rate, 0.001)
    off = min(math.hypot(batch.rate_error or 0.0, DRIFT), MOST_OFF)
    last_s = max((avg_processing_time_ms(batch) or 0) / 1000.0, LEAST_LAST_S)  # the items that are in work at the end
    earliest = batch.rated_at + timedelta(seconds=left_s / (1.0 + off))
    latest = batch.rated_at + timedelta(seconds=left_s / (1.0 - off) + last_s)
    return max(earliest, now), max(latest, now + timedelta(seconds=last_s))


def item_id(batch_id: str, item: Item) -> str:
    """Answer the caller's own key, or the one that stands in for it."""
    return item.item_id if item.item_id is not None else f"{batch_id}-{item.item_index}"


def derived_index(batch_id: str, item_id: str) -> int:
    """Read the index in an item_id that stands in for the caller's own; -1 if it is none of this batch's."""
    prefix, _, index = item_id.rpartition("-")
    return int(index) if prefix == batch_id and index.isascii() and index.isdigit() else -1
