"""One outcome that the store refuses holds up nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.integration.batches.core import Core, core
from tests.unit.batches.samples import item

from imagebatch.v1.enums import BatchItemStatus, BatchStatus, ItemErrorCode
from imagebatch_server.batches.model import Batch, ItemFilter, ItemResult, Outcome
from imagebatch_server.batches.ports.batches import BatchCommit, OutcomeStore


class RefusingStore:
    """Take no transaction with a successful outcome of these indexes; of a batch that is banned, none at all."""

    def __init__(self, store: OutcomeStore, refused: Sequence[int]) -> None:
        self.banned: set[str] = set()
        self.transactions = 0
        self._store = store
        self._refused = refused
        self.page = store.page
        self.news = store.news
        self.after = store.after

    async def record(self, commits: Sequence[BatchCommit], at: datetime, *, recheck: bool) -> Sequence[Batch | None]:
        self.transactions += 1
        for commit in commits:
            if commit.batch_id in self.banned:
                raise ValueError("a batch that nobody takes")
            if any(outcome.item_index in self._refused and _succeeded(outcome) for outcome in commit.outcomes):
                raise OverflowError("an outcome that nobody takes")
        return await self._store.record(commits, at, recheck=recheck)


def _succeeded(outcome: Outcome) -> bool:
    return outcome.status is BatchItemStatus.SUCCESS


async def results(made: Core, batch: Batch) -> Sequence[ItemResult]:
    _, _, found = await made.batches.page("default", batch.batch_id, ItemFilter(), 0, 1_000)
    return found


@pytest.mark.parametrize("refused", [[0], [7], [99], [0, 1, 50, 99]])
async def test_the_one_that_is_refused_alone_fails_and_the_others_are_recorded(
    tmp_path: Path, refused: list[int]
) -> None:
    with capture_logs() as logs:
        async with core(tmp_path, wrap=lambda store: RefusingStore(store, refused), room=100) as made:
            batch = await made.submit([item(index) for index in range(100)], at_hand=100)
            watched = await made.seen(batch)
            ended = await made.ended(batch)
            found = await results(made, batch)
    assert ended.status is BatchStatus.PARTIALLY_COMPLETED
    assert ended.failure_counts == {"internal": len(refused)}
    for result in found:
        assert result.outcome is not None
        if result.item.item_index in refused:
            assert result.outcome.error_code is ItemErrorCode.INTERNAL
            assert "recorder.outcome_refused" in (result.outcome.error_message or "")
        else:
            assert result.status is BatchItemStatus.SUCCESS
    assert sorted(result.sequence or 0 for result in found) == list(range(1, 101))
    assert sorted(entry for update in watched for entry in update.results) == sorted(
        f"{index}:{'failed' if index in refused else 'success'}".encode() for index in range(100)
    )
    said = [entry for entry in logs if entry["event"] == "recorder.outcome_refused"]
    assert sorted(entry["item_index"] for entry in said) == refused
    assert {entry["why"] for entry in said} == {"OverflowError: an outcome that nobody takes"}


async def test_a_batch_that_is_refused_whole_is_let_go_and_holds_up_no_other(tmp_path: Path) -> None:
    async with core(tmp_path, wrap=lambda store: RefusingStore(store, [])) as made:
        assert isinstance(made.outcomes, RefusingStore)
        bad = await made.submit([item(index) for index in range(10)])
        made.outcomes.banned.add(bad.batch_id)
        good = await made.submit([item(index) for index in range(100)])
        assert (await made.ended(good)).status is BatchStatus.COMPLETED
        await made.recorder.drained()
        assert made.scheduler.running_batches == 0
        made.outcomes.banned.clear()
        made.scheduler.reconcile(await made.batches.get("default", bad.batch_id))  # as ownership does after a while
        assert (await made.ended(bad)).status is BatchStatus.COMPLETED


async def test_finding_the_one_takes_few_transactions(tmp_path: Path) -> None:
    async with core(tmp_path, wrap=lambda store: RefusingStore(store, [123]), room=512) as made:
        assert isinstance(made.outcomes, RefusingStore)
        batch = await made.submit([item(index) for index in range(512)], at_hand=512)
        await made.ended(batch)
        assert made.outcomes.transactions < 40
