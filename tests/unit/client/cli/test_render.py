from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imagebatch_client import shown
from imagebatch_client.cli import exits, render
from imagebatch_client.cli.progress import Rate, pace, plain_line
from imagebatch_client.types import BatchItemResult, BatchItemStatus, BatchStatus, BatchStatusResult, ItemErrorCode

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def item(**fields: Any) -> BatchItemResult:
    given: dict[str, Any] = {
        "item_id": "id-1",
        "item_index": 0,
        "status": BatchItemStatus.SUCCESS,
        "input_data": None,
        "output_data": None,
        "error_message": None,
        "processing_time_ms": None,
        "stored_image_url": None,
    }
    return BatchItemResult(**(given | fields))


def status(value: str, **fields: Any) -> BatchStatusResult:
    given: dict[str, Any] = {
        "batch_id": "b1",
        "status": BatchStatus(value),
        "total_items": 10,
        "processed_items": 6,
        "successful_items": 5,
        "failed_items": 1,
        "success_rate": 0.8,
        "progress_percentage": 60.0,
        "created_at": NOW,
        "started_at": None,
        "completed_at": None,
        "estimated_completion_time": None,
        "avg_processing_time_ms": None,
    }
    return BatchStatusResult(**(given | fields))


@pytest.mark.parametrize(
    ("input_data", "name"),
    [
        ({"object_key": "k", "metadata": {"file_name": "a/cat.jpg"}}, "a/cat.jpg"),
        ({"image_url": "https://example.com/x/dog.png?size=3", "metadata": {"rank": 1}}, "dog.png"),
        ({"image_url": "https://example.com/"}, "https://example.com/"),
        ({"image_url": "http://[::1"}, "http://[::1"),
        ({"image_url": "https://example.com/a.png#b/c?d"}, "a.png"),
        ({"object_key": "k", "metadata": None}, "id-1"),
        (None, "id-1"),
        ({"metadata": {"file_name": "bad\x1b[2J\nname.jpg"}}, "bad [2J name.jpg"),
    ],
)
def test_an_item_is_called_by_its_files_name(input_data: dict[str, Any] | None, name: str) -> None:
    assert shown.name(item(input_data=input_data)) == name


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"output_data": {"description": "A cat.\nAsleep."}}, "A cat. Asleep."),
        ({"output_data": {"is_verified": True}}, "verified"),
        ({"output_data": {"is_verified": False}}, "not verified"),
        ({"output_data": {"is_verified": False, "checks": 5}}, "not verified"),
        ({"output_data": {"width": 3}, "stored_image_url": "file:///t", "stored_object_key": "d.1"}, "stored as d.1"),
        ({"output_data": {"width": 3}}, '{"width": 3}'),
        (
            {"status": BatchItemStatus.FAILED, "error_code": ItemErrorCode.TIMEOUT, "error_message": "took 60 s"},
            "timeout: took 60 s",
        ),
        ({"status": BatchItemStatus.PENDING}, ""),
    ],
)
def test_an_outcome_is_one_line(fields: dict[str, Any], line: str) -> None:
    assert shown.outcome(item(**fields)) == line


def test_a_plain_line_has_the_state_the_name_and_the_outcome() -> None:
    assert plain_line(item(output_data={"description": "A cat."})) == "success  id-1  A cat."


def test_json_has_the_contracts_names_and_values() -> None:
    result = item(output_data={"description": "räksmörgås"}, completed_at=NOW, error_code=ItemErrorCode.TIMEOUT)
    line = render.as_json(result)
    assert "\n" not in line
    assert "räksmörgås" in line
    read = json.loads(line)
    assert list(read) == list(BatchItemResult.__dataclass_fields__)
    assert (read["status"], read["error_code"]) == ("success", "timeout")
    assert datetime.fromisoformat(read["completed_at"]) == NOW


def test_json_loses_no_letter_where_the_terminal_has_none_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    line = render.as_json(item(output_data={"description": "räksmörgås"}))
    assert line.isascii()
    assert json.loads(line)["output_data"] == {"description": "räksmörgås"}


def test_the_ending_is_one_line() -> None:
    ended = status("partially_completed", completed_at=NOW + timedelta(seconds=75), failure_counts={"timeout": 1})
    assert render.ending(ended).splitlines() == [
        "Batch b1 partially completed in 1 min 15 s: 5 succeeded, 1 failed.",
    ]
    assert render.ending(status("cancelled", failed_items=0, skipped_items=5)) == (
        "Batch b1 cancelled: 5 succeeded, 0 failed, 5 skipped."
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0 s"), (0.84, "0.8 s"), (41.2, "41 s"), (59.9, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert render.duration(seconds) == text


def test_rows_are_aligned_and_never_cut() -> None:
    assert list(render.aligned([("A", "LONG"), ("longer", "x")])) == ["A       LONG", "longer  x"]


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    rate = Rate(window_s=30.0)
    rate.saw(0.0, 0)
    assert rate.per_s() is None
    rate.saw(10.0, 50)
    assert rate.per_s() == 5.0
    rate.saw(38.0, 106)
    assert rate.per_s() == 2.0


def test_the_pace_has_what_is_known() -> None:
    running = status("processing", estimated_completion_time=datetime.now(UTC) + timedelta(seconds=40.5))
    assert pace(running, None) in {"40 s left", "41 s left"}
    assert pace(running, 2.04).startswith("2.0/s, ")
    assert pace(status("processing"), None) == ""
    assert pace(status("completed"), 3.0) == "3.0/s"


@pytest.mark.parametrize(
    ("value", "code"), [("completed", 0), ("failed", 1), ("partially_completed", 1), ("cancelled", 4)]
)
def test_exit_codes_of_batches(value: str, code: int) -> None:
    assert exits.of_batch(BatchStatus(value)) == code
    assert f"{code} " in exits.HELP
