"""GetBatchResults: every item in index order whatever its status, and filters that count matches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item, plain
from tests.server import ServerProcess

from imagebatch.v1.types_pb2 import (
    BATCH_ITEM_STATUS_FAILED,
    BATCH_ITEM_STATUS_PENDING,
    BATCH_ITEM_STATUS_PROCESSING,
    BATCH_ITEM_STATUS_SKIPPED,
    BATCH_ITEM_STATUS_SUCCESS,
    BATCH_STATUS_PROCESSING,
)

ITEMS = 250
FAILED = list(range(0, ITEMS, 10))
GOOD = [index for index in range(ITEMS) if index % 10]


@pytest.fixture(scope="module")
def batch_id(server: ServerProcess, picture: str) -> str:
    client = Raw(server.address)
    keys = [picture if index % 10 else "default.nothing" for index in range(ITEMS)]
    items = [item(object_key=key, item_id=f"item/{index}") for index, key in enumerate(keys)]
    batch_id = client.submit(items).batch_id
    client.watch_to_end(batch_id)
    client.close()
    return batch_id


def indexes(raw: Raw, batch_id: str, **request: Any) -> tuple[list[int], int, bool]:
    page = raw.page(batch_id, **request)
    found = [result.item_index for result in page.results]
    assert page.pagination.offset == request.get("offset", 0)
    return found, page.pagination.total, page.pagination.has_more


@pytest.mark.parametrize(
    ("request_fields", "expected"),
    [
        ({}, (range(100), ITEMS, True)),
        ({"limit": 0}, (range(100), ITEMS, True)),
        ({"limit": 1000}, (range(ITEMS), ITEMS, False)),
        ({"offset": 100}, (range(100, 200), ITEMS, True)),
        ({"offset": 240, "limit": 10}, (range(240, 250), ITEMS, False)),
        ({"offset": ITEMS}, ([], ITEMS, False)),
        ({"offset": 2**31 - 1, "limit": 1000}, ([], ITEMS, False)),
        ({"include_failed": True, "limit": 3}, (range(3), ITEMS, True)),
        ({"include_failed": False, "limit": 1000}, (GOOD, len(GOOD), False)),
        ({"include_failed": False, "limit": 5, "offset": 9}, (GOOD[9:14], len(GOOD), True)),
        ({"statuses": [BATCH_ITEM_STATUS_FAILED], "limit": 7, "offset": 20}, (FAILED[20:], len(FAILED), False)),
        ({"statuses": [BATCH_ITEM_STATUS_SUCCESS, BATCH_ITEM_STATUS_FAILED], "limit": 2}, ([0, 1], ITEMS, True)),
        ({"statuses": [BATCH_ITEM_STATUS_PENDING]}, ([], 0, False)),
        ({"statuses": [BATCH_ITEM_STATUS_SKIPPED]}, ([], 0, False)),
        ({"statuses": [BATCH_ITEM_STATUS_FAILED], "include_failed": False}, ([], 0, False)),
        ({"item_ids": ["item/7", "item/0", "item/249", "nothing"]}, ([0, 7, 249], 3, False)),
        ({"item_ids": ["item/7", "item/0"], "include_failed": False}, ([7], 1, False)),
    ],
)
def test_what_a_page_covers(raw: Raw, batch_id: str, request_fields: dict[str, Any], expected: Any) -> None:
    covered, total, has_more = expected
    assert indexes(raw, batch_id, **request_fields) == (list(covered), total, has_more)


def test_all_pages_cover_all_items_and_totals_agree(raw: Raw, batch_id: str) -> None:
    pages = raw.pages(batch_id, limit=33)
    results = [result for page in pages for result in page.results]
    assert [result.item_index for result in results] == list(range(ITEMS))
    assert [result.item_id for result in results] == [f"item/{index}" for index in range(ITEMS)]
    assert sorted(result.sequence for result in results) == list(range(1, ITEMS + 1))
    status = raw.status(batch_id)
    times = [result.processing_time_ms for result in results if result.HasField("processing_time_ms")]
    for page in pages:
        assert page.status == status.status
        assert page.summary.total_items == status.total_items == ITEMS
        assert page.summary.successful_items == status.successful_items == len(GOOD)
        assert page.summary.failed_items == status.failed_items == len(FAILED)
        assert page.summary.skipped_items == status.skipped_items == 0
        assert page.summary.processing_time_ms == sum(times)
    assert status.success_rate == len(GOOD) / ITEMS
    assert status.progress_percentage == 100
    assert status.avg_processing_time_ms == pytest.approx(sum(times) / len(times), abs=1)


def test_items_without_a_key_of_their_own_get_one(raw: Raw, picture: str) -> None:
    batch_id = raw.submit([item(object_key=picture), item(object_key=picture, item_id="mine")]).batch_id
    raw.watch_to_end(batch_id)
    assert [result.item_id for result in raw.page(batch_id).results] == [f"{batch_id}-0", "mine"]
    assert indexes(raw, batch_id, item_ids=[f"{batch_id}-0", f"{batch_id}-1"])[0] == [0]


def test_what_was_submitted_is_echoed(raw: Raw, picture: str) -> None:
    metadata = {"caption": "ein Hund", "tags": ["a", None, True], "nested": {"n": 1.5}}
    data = pictures.drawn(9)
    batch_id = raw.submit(
        [
            item(object_key=picture, metadata=metadata),
            item(image_base64=pictures.data_url(data), metadata={}),
            item(image_url="http://127.0.0.1:9/nobody-listens"),
        ],
        max_attempts=1,
    ).batch_id
    raw.watch_to_end(batch_id)
    by_key, inline, by_url = raw.page(batch_id).results
    assert plain(by_key.input_data) == {"object_key": picture, "metadata": metadata}
    assert plain(by_key.output_data)["metadata"] == metadata
    stored = plain(inline.input_data)
    assert raw.download(stored.pop("object_key"))[1] == data
    assert stored == {"size_bytes": len(data), "sha256": inline.image_sha256, "metadata": {}}
    assert plain(by_url.input_data) == {"image_url": "http://127.0.0.1:9/nobody-listens"}


def test_a_page_of_a_running_batch_shows_what_is_known(raw: Raw, picture: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waits = {"do": "wait", "until": str(gate)}
    batch_id = raw.submit([item(object_key=picture), *[item(object_key=picture, metadata=waits)] * 2]).batch_id
    next(message for message in raw.watch(batch_id) if message.results)
    page = raw.page(batch_id)
    assert page.status == BATCH_STATUS_PROCESSING
    first, *others = page.results
    assert (first.status, first.sequence) == (BATCH_ITEM_STATUS_SUCCESS, 1)
    assert {result.status for result in others} <= {BATCH_ITEM_STATUS_PENDING, BATCH_ITEM_STATUS_PROCESSING}
    assert not any(result.HasField("sequence") or result.HasField("completed_at") for result in others)
    assert indexes(raw, batch_id, statuses=[BATCH_ITEM_STATUS_PENDING]) == ([1, 2], 2, False)
    gate.touch()
    raw.watch_to_end(batch_id)
