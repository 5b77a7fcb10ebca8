"""The port `OutcomeStore`: pages of items by an error code or a text."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import wraps
from typing import Any

import pytest
from tests.integration.ports.values import TENANT, failed, made, record, skipped, success

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server import structs
from imagebatch_server.batches.model import Batch, ItemFilter
from imagebatch_server.store import pages, search
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.outcomes import SqlOutcomeStore

TIMEOUT, GONE = ItemErrorCode.TIMEOUT, ItemErrorCode.OBJECT_NOT_FOUND
FAILED, SUCCESS, SKIPPED = BatchItemStatus.FAILED, BatchItemStatus.SUCCESS, BatchItemStatus.SKIPPED

OUTPUTS: dict[int, dict[str, Any]] = {
    0: {"description": "A red car on a street"},
    1: {"description": "a bicycle", "tags": ["Red", "street"], "car": 17},
    2: {"description": "Straße in KÖLN", "visible_text": r"100% \off"},
    3: {"checks": [{"name": "text", "detail": {"seen": "CAR 17"}}], "is_verified": True, "score": 0.5},
}


@pytest.fixture(autouse=True, params=[(2, 3), (250, 20_000)], ids=["small parts", "large parts"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a search is cut into parts, it answers the same."""
    rows, items = request.param
    monkeypatch.setattr(search, "ROWS_A_READ", rows)
    monkeypatch.setattr(search, "ITEMS_A_PART", items)


async def mixed(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> Batch:
    """Make a batch with outputs, failures, skips, and two items without an outcome."""
    batch = await made(batches, 12)
    successes = [success(index, structs.from_dict(output)) for index, output in OUTPUTS.items()]
    return await record(
        outcomes,
        batch,
        *successes,
        failed(4, TIMEOUT, "the car took longer than 9 s"),
        failed(5, GONE, "no such key: Straße"),
        failed(6, TIMEOUT, "slow"),
        skipped(7, ItemErrorCode.DUPLICATE),
        skipped(8),
        success(9, b""),
    )


async def indexes(outcomes: SqlOutcomeStore, batch: Batch, match: ItemFilter) -> list[int]:
    """Find what matches, and hold every page of it against the whole."""
    _, total, whole = await outcomes.page(TENANT, batch.batch_id, match, 0, 100)
    found = [result.item.item_index for result in whole]
    assert total == len(found)
    for offset in range(len(found) + 2):
        _, count, page = await outcomes.page(TENANT, batch.batch_id, match, offset, 2)
        assert (count, [result.item.item_index for result in page]) == (total, found[offset : offset + 2])
    return found


TEXTS = {
    "car": [0, 3, 4],
    "CAR": [0, 3, 4],
    "red": [0, 1],
    "Straße": [2, 5],
    "straße": [2, 5],
    "KÖLN": [2],
    "kÖln": [2],
    "köln": [],
    "17": [3],
    "tags": [],
    "skipped": [7, 8],
    r"100% \OFF": [2],
    "%": [2],
    "_": [],
    "\\": [2],
    "a": [0, 1, 2, 3, 4, 5],
    "nowhere": [],
}
"""What is found: texts of outputs and messages, but no names of fields and no numbers."""


@pytest.mark.parametrize(("text", "found"), TEXTS.items())
async def test_a_text_is_looked_for(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, text: str, found: list[int]
) -> None:
    assert await indexes(outcomes, await mixed(batches, outcomes), ItemFilter(text=text)) == found


FILTERS: list[tuple[ItemFilter, list[int]]] = [
    (ItemFilter(error_codes=[TIMEOUT]), [4, 6]),
    (ItemFilter(error_codes=[TIMEOUT, GONE, ItemErrorCode.DUPLICATE]), [4, 5, 6, 7]),
    (ItemFilter(error_codes=[TIMEOUT, ItemErrorCode.CANCELLED], include_failed=False), [8]),
    (ItemFilter(error_codes=[TIMEOUT], statuses=[SUCCESS, SKIPPED]), []),
    (ItemFilter(error_codes=[TIMEOUT], statuses=[BatchItemStatus.PENDING]), []),
    (ItemFilter(error_codes=[TIMEOUT], text="SLOW"), [6]),
    (ItemFilter(error_codes=[GONE, TIMEOUT], item_ids=["own-6", "own-9", "own-0"]), [6]),
    (ItemFilter(text="car", statuses=[SUCCESS]), [0, 3]),
    (ItemFilter(text="car", include_failed=False), [0, 3]),
    (ItemFilter(text="car", statuses=[BatchItemStatus.PENDING]), []),
    (ItemFilter(text="car", statuses=[FAILED, BatchItemStatus.PENDING]), [4]),
    (ItemFilter(text="car", item_ids=["own-3", "own-6"]), [3]),
    (ItemFilter(text="car", item_ids=["nobody"]), []),
]


@pytest.mark.parametrize(("match", "found"), FILTERS, ids=range(len(FILTERS)))
async def test_filters_combine(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, match: ItemFilter, found: list[int]
) -> None:
    assert await indexes(outcomes, await mixed(batches, outcomes), match) == found


async def test_a_search_ends_with_its_caller(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody waits for leaves the store to others after the part that is being read."""
    monkeypatch.setattr(search, "ITEMS_A_PART", 1)
    batch, read, loop = await mixed(batches, outcomes), list[int](), asyncio.get_running_loop()
    whole = pages.searched

    @wraps(whole)
    def searched(connection: Any, key: Any, match: ItemFilter, first: int) -> Any:
        read.append(first)
        if first == 2:
            loop.call_soon_threadsafe(asked.cancel)
        return whole(connection, key, match, first)

    monkeypatch.setattr(pages, "searched", searched)
    asked = asyncio.create_task(outcomes.page(TENANT, batch.batch_id, ItemFilter(text="car"), 0, 100))
    with suppress(asyncio.CancelledError):
        await asked
    await batches.get(TENANT, batch.batch_id)
    assert read == [0, 1, 2]
