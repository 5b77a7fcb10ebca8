"""What is told of a batch that has ended, and when again if nobody took it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from imagebatch.v1.enums import NotificationState
from imagebatch_server.batches.model import Batch, NotificationProgress, ReceiverAnswer

DELAYS_S = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 8 * 3600, 8 * 3600)
"""After each attempt that failed: eight attempts over a day, close to what Standard Webhooks proposes."""

MOST_ASKED_FOR = timedelta(days=1)
"""A receiver may ask to be left alone so long at the most."""

_GONE = 410


def body_of(batch: Batch) -> bytes:
    """Write what is told of a batch that has ended."""
    ended_at = None if batch.completed_at is None else batch.completed_at.isoformat().replace("+00:00", "Z")
    return json.dumps(
        {
            "type": "batch.ended",
            "timestamp": ended_at,
            "data": {
                "batch_id": batch.batch_id,
                "operation": batch.options.operation,
                "status": batch.status.value,
                "total_items": batch.total_items,
                "processed_items": batch.processed_items,
                "successful_items": batch.successful_items,
                "failed_items": batch.failed_items,
                "skipped_items": batch.skipped_items,
                "labels": dict(batch.options.labels),
            },
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()


def progress_after(attempts: int, answer: ReceiverAnswer, now: datetime) -> NotificationProgress:
    """Judge what the last of so many attempts came to."""
    status = answer.status
    if status is not None and 200 <= status < 300:
        return NotificationProgress(NotificationState.DELIVERED, attempts, status, None)
    if status == _GONE or attempts > len(DELAYS_S):
        return NotificationProgress(NotificationState.FAILED, attempts, status, None)
    delay = timedelta(seconds=DELAYS_S[attempts - 1])
    if answer.retry_after_s is not None:
        delay = max(delay, min(timedelta(seconds=answer.retry_after_s), MOST_ASKED_FOR))
    return NotificationProgress(NotificationState.PENDING, attempts, status, now + delay)
