"""Answers as dicts, JSON, rows and tables."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest

from imagebatch_client import (
    BatchItemResult,
    BatchItemStatus,
    BatchResults,
    BatchResultsPagination,
    BatchResultsSummary,
    BatchStatus,
    BatchStatusResult,
    ItemErrorCode,
    rows,
)
from imagebatch_client.records import Record

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>"


def item(**given: Any) -> BatchItemResult:
    absent: dict[str, Any] = {field.name: None for field in fields(BatchItemResult)}
    return BatchItemResult(**absent | {"item_id": "a", "item_index": 0, "status": BatchItemStatus.SUCCESS} | given)


def page(*items: BatchItemResult) -> BatchResults:
    return BatchResults(
        "b1",
        BatchStatus.COMPLETED,
        list(items),
        BatchResultsPagination(0, 100, len(items), False),
        BatchResultsSummary(len(items), len(items), 0, 0, 5),
    )


def test_a_record_is_plain_all_through() -> None:
    plain = page(item(completed_at=NOW, error_code=ItemErrorCode.TIMEOUT, output_data={"tags": ["x"]})).to_dict()
    (result,) = plain["results"]
    assert (type(plain["status"]), type(result["error_code"])) == (str, str)
    assert (result["completed_at"], result["output_data"], result["error_code"]) == (NOW, {"tags": ["x"]}, "timeout")
    assert plain["summary"]["processing_time_ms"] == 5


def test_json_has_the_contracts_names() -> None:
    read = json.loads(page(item(completed_at=NOW, output_data={"description": "räksmörgås"})).to_json())
    assert list(read) == [field.name for field in fields(BatchResults)]
    assert read["results"][0]["completed_at"] == "2026-01-02T03:04:05+00:00"
    assert read["results"][0]["output_data"]["description"] == "räksmörgås"


def test_every_answer_is_a_record() -> None:
    import imagebatch_client

    kinds = [each for each in vars(imagebatch_client).values() if hasattr(each, "__dataclass_fields__")]
    others = {kind.__name__ for kind in kinds if not issubclass(kind, Record)}
    assert others == {"ConnectionSettings", "DownloadedImage", "FieldViolation", "ImageFile"}


def test_rows_are_flat() -> None:
    given = item(
        input_data={"image_url": "http://x", "metadata": {"rank": 1}},
        output_data={"description": "A cat.", "quality": {"sharpness": 0.5}, "tags": ["cat"]},
    )
    (row, other) = rows([given, item(item_index=1)])
    assert row["input.metadata.rank"] == 1
    assert (row["output.description"], row["output.quality.sharpness"], row["output.tags"]) == ("A cat.", 0.5, ["cat"])
    assert "output_data" not in row
    assert (other["item_index"], other["status"]) == (1, "success")
    assert page(given).rows() == [row]


@pytest.mark.parametrize(
    "shown",
    [
        page(item(item_id=HOSTILE, error_message=HOSTILE)),
        page(item(output_data={"description": HOSTILE})),
        BatchStatusResult(
            HOSTILE, BatchStatus.FAILED, 2, 2, 0, 2, 0.0, 100.0, NOW, None, None, None, None, labels={"a": HOSTILE}
        ),
    ],
)
def test_a_notebook_gets_a_table_in_which_nothing_is_markup(shown: Any) -> None:
    table = shown._repr_html_()
    assert table.count("<table>") == 1
    assert "<script>" not in table
    assert "&lt;script&gt;" in table


def test_a_long_page_is_shown_in_part() -> None:
    assert "<p>and 20 more</p>" in page(*(item(item_index=index) for index in range(120)))._repr_html_()
