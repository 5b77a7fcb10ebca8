"""How items and batches read: as one line, and as JSON."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from imagebatch_client.types import BatchItemResult, BatchItemStatus, BatchStatusResult

# Colours by state, for terminals that have them.
ITEM_STYLES = {
    BatchItemStatus.SUCCESS: "green",
    BatchItemStatus.FAILED: "red",
    BatchItemStatus.SKIPPED: "yellow",
    BatchItemStatus.PROCESSING: "cyan",
    BatchItemStatus.PENDING: "dim",
}

# Control characters would let a file's name or a picture's text steer the terminal.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def one_line(text: str) -> str:
    """`text` without line breaks and without characters that a terminal acts on."""
    return _UNPRINTABLE.sub(" ", text).strip()


def shown_name(result: BatchItemResult) -> str:
    """What a person calls the item: its file's name, else the end of its URL, else its id."""
    given = result.input_data or {}
    metadata = given.get("metadata")
    name = metadata.get("file_name") if isinstance(metadata, dict) else None
    if not name and isinstance(given.get("image_url"), str):
        name = PurePosixPath(urlsplit(given["image_url"]).path).name or given["image_url"]
    return one_line(str(name or result.item_id))


def outcome(result: BatchItemResult) -> str:
    """What came of the item, in one line: a description, a verdict, a stored image, or an error with its code."""
    if result.error_code is not None:
        return one_line(f"{result.error_code}: {result.error_message or ''}")
    if result.description is not None:
        return one_line(result.description)
    if result.is_verified is not None:
        return "verified" if result.is_verified else "not verified"
    if result.stored_image_url is not None:
        return one_line(result.stored_image_url)
    if result.output_data is not None:
        return one_line(json.dumps(result.output_data, ensure_ascii=False))
    return ""


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows as lines with aligned columns, never cut: an id must be whole to be copied."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def counts(status: BatchStatusResult) -> str:
    text = f"{status.successful_items} succeeded, {status.failed_items} failed"
    return f"{text}, {status.skipped_items} skipped" if status.skipped_items else text


def ending(status: BatchStatusResult) -> str:
    """The last lines of a watch: how the batch ended, why items failed, and where to read it."""
    if status.completed_at is not None and status.created_at is not None:
        took = f" in {duration((status.completed_at - status.created_at).total_seconds())}"
    else:
        took = ""
    line = f"Batch {status.batch_id} {spaced(status.status)}{took}: {counts(status)}."
    if not status.failed_items:
        return line
    return f"{line}\nFailures: {failures(status)}.\nSee them with: imagebatch results {status.batch_id} --failed-only"


def failures(status: BatchStatusResult) -> str:
    """Failed items by code, such as "fetch_failed 2, timeout 1"."""
    return ", ".join(f"{code} {count}" for code, count in sorted(status.failure_counts.items()))


def spaced(value: str) -> str:
    """`partially_completed` as "partially completed"."""
    return value.replace("_", " ")


def duration(seconds: float) -> str:
    """A number of seconds as a person says it: 0.8 s, 41 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def local_time(time: datetime | None) -> str:
    """A time as the clock on this machine's wall shows it."""
    return "" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


def as_json(value: Any) -> str:
    """One of the public dataclasses, or a list of them, as one line of JSON with the contract's field names."""
    # Elsewhere than in UTF-8, escapes: JSON must not lose a letter to the terminal's encoding.
    is_utf8 = (sys.stdout.encoding or "utf-8").lower() in {"utf-8", "utf8"}
    return json.dumps(value, default=_jsonable, ensure_ascii=not is_utf8, separators=(",", ":"))


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")
