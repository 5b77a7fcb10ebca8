"""The port `OutcomeStore`, its reading half: pages, and catching up by sequence."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from tests.integration.ports.values import TENANT, failed, made, record, skipped, success

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches.model import Batch, ItemFilter, ItemResult
from imagebatch_server.store import items as items_module
from imagebatch_server.store import results as results_module
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.outcomes import SqlOutcomeStore

PENDING = BatchItemStatus.PENDING
SUCCESS = BatchItemStatus.SUCCESS
FAILED = BatchItemStatus.FAILED
SKIPPED = BatchItemStatus.SKIPPED

STATUSES = [SUCCESS, PENDING, FAILED, SKIPPED, FAILED, SUCCESS, PENDING, PENDING, SUCCESS, FAILED, SKIPPED, PENDING]
"""Of the items of `mixed`, by index."""


async def mixed(batches: SqlBatchStore, outcomes: SqlOutcomeStore, statuses: Sequence[BatchItemStatus]) -> Batch:
    """Make a batch whose items have these statuses, recorded from the last to the first."""
    batch = await made(batches, len(statuses))
    by_status = {
        SUCCESS: [success(index) for index in range(len(statuses))],
        FAILED: [failed(index) for index in range(len(statuses))],
        SKIPPED: [skipped(index) for index in range(len(statuses))],
    }
    recorded = [by_status[status][index] for index, status in enumerate(statuses) if status is not PENDING]
    return await record(outcomes, batch, *reversed(recorded))


def indexes(results: Sequence[ItemResult]) -> list[int]:
    return [result.item.item_index for result in results]


@pytest.fixture(autouse=True, params=[3, 10_000])
def looked_through(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a read is cut into parts, it answers the same."""
    monkeypatch.setattr(items_module, "INDEXES_A_READ", request.param)
    monkeypatch.setattr(results_module, "ROWS_A_READ", request.param)


async def test_a_page_without_a_filter_covers_every_item(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await mixed(batches, outcomes, STATUSES)
    for offset, limit in itertools.product(range(14), (1, 5, 100)):
        answered, total, results = await outcomes.page(TENANT, batch.batch_id, ItemFilter(), offset, limit)
        assert (answered, total) == (batch, 12)
        assert indexes(results) == list(range(12))[offset : offset + limit]
        assert [result.status for result in results] == STATUSES[offset : offset + limit]
    _, _, (first, second, *_) = await outcomes.page(TENANT, batch.batch_id, ItemFilter(), 0, 3)
    assert first.outcome is not None
    assert (first.sequence, first.outcome.output_data) == (8, b"{}")
    assert (second.sequence, second.completed_at, second.outcome) == (None, None, None)
    assert [first.item, second.item] == list(await batches.items(TENANT, batch.batch_id, [0, 1]))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
async def test_a_filter_by_status_answers_what_matches(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, size: int
) -> None:
    batch = await mixed(batches, outcomes, STATUSES)
    for wanted in itertools.combinations((PENDING, SUCCESS, FAILED, SKIPPED), size):
        for include_failed in (True, False):
            match = ItemFilter(statuses=wanted, include_failed=include_failed)
            await check(batch, outcomes, match, STATUSES)


async def test_failed_items_can_be_left_out(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await mixed(batches, outcomes, STATUSES)
    await check(batch, outcomes, ItemFilter(include_failed=False), STATUSES)


@pytest.mark.parametrize("only", [PENDING, SUCCESS, FAILED])
async def test_filters_on_a_batch_whose_items_are_all_alike(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, only: BatchItemStatus
) -> None:
    statuses = [only] * 5
    batch = await mixed(batches, outcomes, statuses)
    for wanted in ((), (PENDING,), (SUCCESS,), (FAILED, SUCCESS), (PENDING, FAILED)):
        for include_failed in (True, False):
            await check(batch, outcomes, ItemFilter(statuses=wanted, include_failed=include_failed), statuses)


async def check(
    batch: Batch, outcomes: SqlOutcomeStore, match: ItemFilter, statuses: Sequence[BatchItemStatus]
) -> None:
    """Hold every page of a filter against the list of the items' statuses."""
    expected = [
        index
        for index, status in enumerate(statuses)
        if (not match.statuses or status in match.statuses) and (match.include_failed or status is not FAILED)
    ]
    for offset, limit in itertools.product((0, 1, 2, 4, 20), (2, 100)):
        _, total, results = await outcomes.page(TENANT, batch.batch_id, match, offset, limit)
        assert (total, indexes(results)) == (len(expected), expected[offset : offset + limit]), (match, offset, limit)
        assert [result.status for result in results] == [statuses[index] for index in indexes(results)]


async def test_items_are_found_by_their_ids(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch, other = await mixed(batches, outcomes, STATUSES), await made(batches, 12)
    asked = [
        f"{batch.batch_id}-10",
        "own-9",
        "own-0",
        f"{batch.batch_id}-1",
        f"{batch.batch_id}-3",  # has an id of its own, and goes by that alone
        f"{batch.batch_id}-12",  # there are 12 items
        f"{batch.batch_id}-99999999999999999999",
        f"{other.batch_id}-2",
        "own-1",
        "it's nobody's",
    ]
    match = ItemFilter(item_ids=asked)
    _, total, results = await outcomes.page(TENANT, batch.batch_id, match, 0, 100)
    assert (total, indexes(results)) == (4, [0, 1, 9, 10])
    _, total, results = await outcomes.page(TENANT, batch.batch_id, match, 1, 2)
    assert (total, indexes(results)) == (4, [1, 9])
    match = ItemFilter(item_ids=asked, statuses=[PENDING, FAILED])
    assert indexes((await outcomes.page(TENANT, batch.batch_id, match, 0, 100))[2]) == [1, 9]
    match = ItemFilter(item_ids=asked, include_failed=False)
    assert indexes((await outcomes.page(TENANT, batch.batch_id, match, 0, 100))[2]) == [0, 1, 10]
    _, total, results = await outcomes.page(TENANT, batch.batch_id, ItemFilter(item_ids=["nobody's"]), 0, 100)
    assert (total, list(results)) == (0, [])


async def test_a_thousand_ids_can_be_asked_for(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await made(batches, 1_000)
    asked = [f"own-{index}" if index % 3 == 0 else f"{batch.batch_id}-{index}" for index in range(1_000)]
    _, total, results = await outcomes.page(TENANT, batch.batch_id, ItemFilter(item_ids=asked), 990, 100)
    assert (total, indexes(results)) == (1_000, list(range(990, 1_000)))


async def test_a_read_ends_early_but_never_empty(database: Database, batches: SqlBatchStore) -> None:
    outcomes = SqlOutcomeStore(database, max_read_bytes=5_000)
    batch = await made(batches, 9)
    sizes = [100, 4_000, 10_000, 10, 10, 10, 20_000, 3_000, 100]
    await record(outcomes, batch, *(success(index, bytes(size)) for index, size in enumerate(sizes)))

    pages: list[list[int]] = []
    while len(gone := list(itertools.chain.from_iterable(pages))) < 9:
        _, total, results = await outcomes.page(TENANT, batch.batch_id, ItemFilter(), len(gone), 100)
        assert total == 9
        pages.append(indexes(results))
    assert pages == [[0], [1], [2], [3, 4, 5], [6], [7, 8]]

    read: list[list[int]] = []
    while len(gone := list(itertools.chain.from_iterable(read))) < 9:
        read.append(indexes(await outcomes.after(TENANT, batch.batch_id, len(gone), 100)))
    assert read == pages


async def test_outcomes_follow_a_sequence_in_order(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await mixed(batches, outcomes, STATUSES)
    in_order = [index for index, status in reversed(list(enumerate(STATUSES))) if status is not PENDING]
    for sequence, limit in itertools.product(range(9), (1, 2, 4, 100)):
        results = await outcomes.after(TENANT, batch.batch_id, sequence, limit)
        assert indexes(results) == in_order[sequence : sequence + limit]
        assert [result.sequence for result in results] == list(range(sequence + 1, sequence + 1 + len(results)))
        assert [result.status for result in results] == [STATUSES[index] for index in indexes(results)]
    assert list(await outcomes.after(TENANT, batch.batch_id, 2**40, 10)) == []
