"""How batches read: line by line, and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from imagebatch_client.texts import json_line, one_line, spaced
from imagebatch_client.types import BatchItemStatus, BatchNotification, BatchStatusResult, BatchWaiting, WaitingReason

_WAITING = {
    WaitingReason.BEHIND_OTHERS: "behind other batches",
    WaitingReason.HOST_LIMIT: "for the images' host, which gets as many requests as it may",
    WaitingReason.HOST_ASKED_TO_WAIT: "for the images' host, which asked to be left alone",
    WaitingReason.PROVIDER_LIMIT: "for the model's endpoint, which takes no more now",
    WaitingReason.BACKOFF: "to attempt failed items again",
    WaitingReason.PAUSED: "because it is paused; imagebatch resume lets it go on",
    WaitingReason.NO_WORKER: "for a worker: none can run its operation now",
    WaitingReason.NO_ROOM: "for room: the server has as much in hand as it takes",
    WaitingReason.STORE_AWAY: "for the server's store, which takes no outcomes now",
}

# Colours by state, for terminals that have them.
ITEM_STYLES = {
    BatchItemStatus.SUCCESS: "green",
    BatchItemStatus.FAILED: "red",
    BatchItemStatus.SKIPPED: "yellow",
    BatchItemStatus.PROCESSING: "cyan",
    BatchItemStatus.PENDING: "dim",
}


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows as lines with aligned columns, never cut: an id must be whole to be copied."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def counts(status: BatchStatusResult) -> str:
    text = f"{status.successful_items} succeeded, {status.failed_items} failed"
    return f"{text}, {status.skipped_items} skipped" if status.skipped_items else text


def ending(status: BatchStatusResult) -> str:
    """Say how the batch ended."""
    if status.completed_at is not None and status.created_at is not None:
        took = f" in {duration((status.completed_at - status.created_at).total_seconds())}"
    else:
        took = ""
    return f"Batch {status.batch_id} {spaced(status.status)}{took}: {counts(status)}."


def failures(status: BatchStatusResult) -> str:
    """Failed items by code, such as "fetch_failed 2, timeout 1"."""
    return ", ".join(f"{code} {count}" for code, count in sorted(status.failure_counts.items()))


def counted(count: int, one: str, many: str) -> str:
    """Say how many: "1 batch", "1,200 batches"."""
    return f"{count:,} {one if count == 1 else many}"


def duration(seconds: float) -> str:
    """Say a number of seconds as a person does: 0.8 s, 41 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def local_time(time: datetime | None) -> str:
    """Show a time as the clock on this machine's wall does."""
    return "" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


def size(count: float) -> str:
    """Say a number of bytes as a person does, such as 50 MiB."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} GiB"


def labels(status: BatchStatusResult) -> str:
    return one_line(", ".join(f"{key}={value}" for key, value in sorted(status.labels.items())))


def state(status: BatchStatusResult) -> str:
    """Say where the batch stands, and whether it is being cancelled or is paused."""
    if status.cancel_requested_at and not status.is_terminal():
        return f"{spaced(status.status)} (cancelling)"
    return f"{spaced(status.status)} (paused)" if status.paused_at else spaced(status.status)


def waiting(why: BatchWaiting) -> str:
    """Say why items wait, such as "behind other batches; 4 items of yours go first"."""
    text = _WAITING[why.reason]
    if why.items_ahead:
        text += f"; {counted(why.items_ahead, 'item', 'items')} of yours go first"
    if why.until is not None:
        text += f"; until {why.until.astimezone():%H:%M:%S}"
    return one_line(f"{text} ({why.detail})" if why.detail else text)


def expected_end(status: BatchStatusResult) -> str:
    """Say when the batch may end, such as "2026-01-31 12:00:41, from 12:00:35 to 12:00:52 in 4 cases of 5"."""
    text = local_time(status.estimated_completion_time)
    found = status.completion_range
    if not text or found is None:
        return text
    return (
        f"{text}, from {found.earliest.astimezone():%H:%M:%S} to {found.latest.astimezone():%H:%M:%S} in 4 cases of 5"
    )


def status_lines(status: BatchStatusResult) -> str:
    """Show a batch's status, a line for each thing known of it."""
    mean = "" if status.avg_processing_time_ms is None else f"{status.avg_processing_time_ms} ms an item on average"
    lines = {
        "batch": status.batch_id,
        "status": state(status),
        "operation": one_line(status.operation),
        "parameters": as_json(status.parameters) if status.parameters else "",
        "labels": labels(status),
        "priority": str(status.priority),
        "canary": "" if status.canary is None else f"{status.canary} items first",
        "failure limit": "" if status.failure_limit is None else f"{status.failure_limit:.4g} of the items",
        "item timeout": "" if status.item_timeout is None else f"{status.item_timeout:g} s an attempt",
        "attempts": f"at most {status.max_attempts} an item" if status.max_attempts else "",
        "request id": one_line(status.request_id or ""),
        "items": f"{status.processed_items} of {status.total_items} done: {counts(status)}",
        "failures": failures(status),
        "created": local_time(status.created_at),
        "started": local_time(status.started_at),
        "paused": local_time(status.paused_at),
        "waiting": "" if status.waiting is None else waiting(status.waiting),
        "completed": local_time(status.completed_at),
        "expected end": expected_end(status),
        "time": mean,
        "notification": "" if status.notification is None else notification(status.notification),
    }
    return "\n".join(f"{name:<13} {text}" for name, text in lines.items() if text)


def notification(told: BatchNotification) -> str:
    """Say how far a receiver was told of the batch's end."""
    answer = "no answer" if told.last_http_status is None else f"the last answer was {told.last_http_status}"
    text = f"{told.state.value}, {counted(told.attempts, 'attempt', 'attempts')}"
    text += f", {answer}" if told.attempts else ""
    return text if told.next_at is None else f"{text}; next {local_time(told.next_at)}"


def as_json(value: Any) -> str:
    """One of the public dataclasses, or a list of them, as one line of JSON with the contract's field names."""
    # Elsewhere than in UTF-8, escapes: JSON must not lose a letter to the terminal's encoding.
    is_utf8 = (sys.stdout.encoding or "utf-8").lower() in {"utf-8", "utf8"}
    return json_line(value, ensure_ascii=not is_utf8)
