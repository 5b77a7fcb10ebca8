"""What a batch's outcomes add up to, counted from the rows themselves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, cast, func, select

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.store.tables import COUNTERS, FAILURE_CODES, outcomes


def counted() -> Select[Any]:
    """Build a query of one row with each of `COUNTERS`, over the outcomes that its conditions choose."""
    columns = outcomes.c
    failed = columns.status == BatchItemStatus.FAILED.value
    values: dict[str, ColumnElement[Any]] = {
        "successful_items": func.count().filter(columns.status == BatchItemStatus.SUCCESS.value),
        "failed_items": func.count().filter(failed),
        "skipped_items": func.count().filter(columns.status == BatchItemStatus.SKIPPED.value),
        **{code.value: func.count().filter(failed, columns.error_code == code.value) for code in FAILURE_CODES},
        "processing_time_ms": _total(columns.processing_time_ms),
        "timed_items": func.count(columns.processing_time_ms),
        "input_tokens": _total(columns.input_tokens),
        "output_tokens": _total(columns.output_tokens),
    }
    return select(*[values[counter].label(counter) for counter in COUNTERS])


def _total(column: ColumnElement[Any]) -> ColumnElement[int]:
    return cast(func.coalesce(func.sum(column), 0), BigInteger)
