from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from imagebatch.v1 import batch_service_pb2
from imagebatch_client import requests
from imagebatch_client.errors import InvalidRequestError
from imagebatch_client.types import BatchImageInput, BatchItemStatus, BatchStatus, ItemErrorCode

URL = "https://example.com/cat.jpg"


def options(operation: str = "describe", **chosen: Any) -> batch_service_pb2.BatchOptions:
    absent: dict[str, Any] = dict.fromkeys(
        (
            *("parameters", "labels", "priority", "item_timeout", "max_attempts", "canary", "failure_limit"),
            *("output_prefix", "notify_url"),
        )
    )
    arguments: dict[str, Any] = {"request_id": "r", "skip_duplicates": False} | absent | chosen
    return requests.batch_options(operation, **arguments)


def test_options_that_are_not_given_are_absent() -> None:
    message = options()
    assert {field.name for field, _ in message.ListFields()} == {"operation", "request_id"}


def test_all_options_are_sent() -> None:
    message = options(
        parameters={"size": 3},
        labels={"team": "maps"},
        priority=7,
        skip_duplicates=True,
        item_timeout=2.5,
        max_attempts=4,
        canary=20,
        failure_limit=0.5,
        output_prefix="s3://thumbnails/today",
        notify_url="https://hooks.example.com/",
    )
    assert (message.output_prefix, message.notify_url) == ("s3://thumbnails/today", "https://hooks.example.com/")
    assert message.parameters.fields["size"].number_value == 3
    assert dict(message.labels) == {"team": "maps"}
    assert message.item_timeout.ToMilliseconds() == 2500
    assert (message.priority, message.skip_duplicates, message.max_attempts) == (7, True, 4)
    assert (message.canary, message.failure_limit) == (20, 0.5)


@pytest.mark.parametrize(
    "chosen",
    [
        {"priority": 2**40},
        {"priority": "high"},
        {"item_timeout": float("inf")},
        {"item_timeout": "5"},
        {"failure_limit": float("nan")},
        {"labels": {"a": 1}},
        {"labels": {1: "a"}},
        {"labels": ["a"]},
        {"canary": 1.5},
    ],
    ids=str,
)
def test_what_no_message_can_hold_is_an_invalid_request(chosen: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        options(**chosen)
    assert caught.value.violations[0].field == f"options.{next(iter(chosen))}"


def test_an_item_keeps_what_was_given_and_no_more() -> None:
    message = requests.image_input(BatchImageInput(image_url=URL, metadata={"file_name": "cat.jpg"}, item_id="cat"), 0)
    assert (message.image_url, message.item_id) == (URL, "cat")
    assert not message.HasField("object_key")
    assert not message.HasField("image_base64")


def test_two_inputs_are_sent_for_the_server_to_refuse() -> None:
    message = requests.image_input(BatchImageInput(image_url=URL, object_key=""), 0)
    assert message.HasField("image_url")
    assert message.HasField("object_key")


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"image_url": URL}, "items[5]"),
        (BatchImageInput(image_url=3), "items[5]"),  # type: ignore[arg-type]
        (BatchImageInput(image_url=URL, metadata={"a": {1}}), "items[5].metadata.a"),
    ],
)
def test_an_item_that_can_not_be_sent_is_named(item: Any, field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        requests.image_input(item, 5)
    assert caught.value.violations[0].field == field


def test_items_are_split_by_number_and_by_bytes() -> None:
    def sizes(count: int, characters: int) -> list[int]:
        items = (BatchImageInput(image_base64="x" * characters) for _ in range(count))
        return [len(chunk) for chunk in requests.item_chunks(items)]

    assert sizes(0, 1) == []
    assert sizes(10_000, 10) == [10_000]
    assert sizes(12_001, 10) == [10_000, 1_000, 1_000, 1]
    assert sizes(5, 7 * 2**20) == [2, 2, 1]
    assert sizes(2, 20 * 2**20) == [1, 1]


def test_items_are_read_no_further_than_asked_for() -> None:
    read = 0

    def items() -> Iterator[BatchImageInput]:
        nonlocal read
        while True:
            read += 1
            yield BatchImageInput(image_url=URL)

    chunks = requests.item_chunks(items())
    next(chunks)
    assert read == 10_001


def test_an_item_that_fits_no_request_is_told_what_to_do() -> None:
    with pytest.raises(InvalidRequestError, match=r"items\[1\]: has \d+ bytes.*upload_image"):
        list(requests.item_chunks([BatchImageInput(image_url=URL), BatchImageInput(image_base64="x" * 2**25)]))


def test_a_page_with_every_item_carries_no_filter() -> None:
    def page(include_failed: bool) -> batch_service_pb2.GetBatchResultsRequest:
        return requests.get_results(
            "b",
            include_failed=include_failed,
            offset=0,
            limit=10,
            statuses=[BatchItemStatus.FAILED],
            item_ids=["x"],
            error_codes=(),
            text=None,
        )

    assert not page(include_failed=True).HasField("include_failed")
    assert page(include_failed=False).HasField("include_failed")
    assert not page(include_failed=False).include_failed
    assert list(page(True).statuses) == [4]


def test_an_update_names_what_is_given() -> None:
    assert list(requests.update("b", 3, None).update_mask.paths) == ["priority"]
    assert list(requests.update("b", None, {}).update_mask.paths) == ["labels"]
    assert dict(requests.update("b", 3, {"run": "1"}).labels) == {"run": "1"}
    with pytest.raises(InvalidRequestError, match="update_mask: is empty; give a priority, labels or both"):
        requests.update("b", None, None)


def test_enum_values_may_be_given_as_strings_and_wrong_ones_are_refused() -> None:
    assert list(requests.watch("b", 3, ["failed"]).statuses) == [4]  # type: ignore[list-item]
    assert list(requests.retry("b", [ItemErrorCode.TIMEOUT], (), None, "r").error_codes) == [7]
    with pytest.raises(InvalidRequestError, match="'done' is not a valid BatchItemStatus"):
        requests.watch("b", 3, ["done"])  # type: ignore[list-item]
    with pytest.raises(InvalidRequestError):
        requests.watch("b", 2**70, [])


def listing(created_after: datetime | None) -> batch_service_pb2.ListBatchesRequest:
    return requests.list_batches(
        statuses=[BatchStatus.FAILED],
        operation=None,
        labels={"a": "b"},
        created_after=created_after,
        created_before=None,
        page_size=50,
    )


def test_times_of_a_listing_need_a_zone() -> None:
    assert listing(datetime(2026, 1, 2, tzinfo=UTC)).created_after.ToJsonString() == "2026-01-02T00:00:00Z"
    assert not listing(None).HasField("created_after")
    with pytest.raises(InvalidRequestError, match="created_after: 2026-01-02 00:00:00 has no time zone"):
        listing(datetime(2026, 1, 2))  # noqa: DTZ001
