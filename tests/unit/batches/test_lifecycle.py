"""The rules of a batch's life."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.batches.samples import batch, item

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.model import Item

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("successful", "failed", "skipped", "cancelled", "expected"),
    [
        (3, 0, 0, False, BatchStatus.COMPLETED),
        (2, 0, 1, False, BatchStatus.COMPLETED),
        (0, 0, 3, False, BatchStatus.COMPLETED),
        (0, 3, 0, False, BatchStatus.FAILED),
        (0, 1, 2, False, BatchStatus.FAILED),
        (2, 1, 0, False, BatchStatus.PARTIALLY_COMPLETED),
        (3, 0, 0, True, BatchStatus.CANCELLED),
        (0, 3, 0, True, BatchStatus.CANCELLED),
    ],
)
def test_terminal_status(successful: int, failed: int, skipped: int, cancelled: bool, expected: BatchStatus) -> None:
    ended = batch(
        total_items=3,
        successful_items=successful,
        failed_items=failed,
        skipped_items=skipped,
        cancel_requested_at=NOW if cancelled else None,
    )
    assert lifecycle.terminal_status(ended) is expected


def test_figures() -> None:
    running = batch(
        total_items=10, successful_items=3, failed_items=1, skipped_items=1, processing_time_ms=90, timed_items=4
    )
    assert running.processed_items == 5
    assert lifecycle.success_rate(running) == 0.6
    assert lifecycle.progress_percentage(running) == 50.0
    assert lifecycle.avg_processing_time_ms(running) == 22
    untouched = batch(total_items=10)
    assert lifecycle.success_rate(untouched) == 0.0
    assert lifecycle.avg_processing_time_ms(untouched) is None


def test_the_estimate_is_the_rest_at_the_last_rate() -> None:
    running = batch(
        status=BatchStatus.PROCESSING, total_items=100, successful_items=40, outcomes_per_s=2.0, rated_at=NOW
    )
    assert lifecycle.estimated_completion_time(running, NOW) == NOW + timedelta(seconds=30)


@pytest.mark.parametrize(
    "changes",
    [
        {"outcomes_per_s": None},
        {"status": BatchStatus.COMPLETED},
        {"rated_at": NOW - timedelta(seconds=61)},
        {"paused_at": NOW},
    ],
)
def test_there_is_no_estimate_without_a_fresh_rate_or_in_a_pause(changes: dict[str, object]) -> None:
    running = batch(
        status=BatchStatus.PROCESSING, total_items=100, successful_items=40, outcomes_per_s=2.0, rated_at=NOW
    )
    assert lifecycle.estimated_completion_time(replace(running, **changes), NOW) is None  # type: ignore[arg-type]


def test_backoff_doubles_with_jitter_up_to_its_most() -> None:
    for attempt, most_s in ((1, 0.5), (2, 1.0), (3, 2.0), (20, 30.0)):
        waits = [lifecycle.backoff_s(attempt) for _ in range(200)]
        assert most_s / 2 <= min(waits) <= max(waits) <= most_s
        assert len(set(waits)) > 100


def test_item_ids_stand_in_for_missing_ones() -> None:
    own: Item = item(7, item_id="mine")
    assert lifecycle.item_id("b", own) == "mine"
    assert lifecycle.item_id("b", item(7)) == "b-7"
    assert lifecycle.derived_index("b", "b-7") == 7
    assert lifecycle.derived_index("b", "c-7") == -1
    assert lifecycle.derived_index("b", "b-x") == -1
    assert lifecycle.derived_index("b", "b-²") == -1
