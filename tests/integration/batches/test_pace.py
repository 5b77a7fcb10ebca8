"""When outcomes are committed: at once, or together with those that are about to follow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest
from tests.integration.batches.core import Core, core, succeed
from tests.unit.batches.samples import item

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.batches import recorder
from imagebatch_server.batches.model import Batch
from imagebatch_server.batches.ports.batches import BatchCommit
from imagebatch_server.store.outcomes import SqlOutcomeStore


class Commits:
    """Note the outcomes of each transaction that carries some."""

    def __init__(self, made: Core, monkeypatch: pytest.MonkeyPatch) -> None:
        self.outcomes: list[int] = []
        inner = made.outcomes
        assert isinstance(inner, SqlOutcomeStore)
        record = inner.record

        async def counted(commits: Sequence[BatchCommit], at: datetime, *, recheck: bool) -> Sequence[Batch | None]:
            batches = await record(commits, at, recheck=recheck)
            if outcomes := sum(len(commit.outcomes) for commit in commits):
                self.outcomes.append(outcomes)
            return batches

        monkeypatch.setattr(inner, "record", counted)


def finish(made: Core, batch: Batch, *indexes: int) -> None:
    """End items that are in flight, successfully."""
    for index in indexes:
        made.executor.finish(succeed(made.executor.in_flight[batch.batch_id, index]))


async def test_the_first_goes_at_once_and_the_last_takes_along_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "PACE_S", 3_600.0)
    async with core(tmp_path, answer=lambda _: None) as made:
        commits = Commits(made, monkeypatch)
        batch = await made.submit([item(index) for index in range(6)], at_hand=6)
        await made.executor.holds(6)
        finish(made, batch, 0)
        await made.processed(batch, 1)
        for index in (1, 2, 3, 4):
            finish(made, batch, index)
            await made.batches.get("default", batch.batch_id)
        assert commits.outcomes == [1]
        finish(made, batch, 5)
        assert (await made.ended(batch)).status is BatchStatus.COMPLETED
        assert commits.outcomes == [1, 5]


async def test_what_waits_is_committed_after_a_while_if_nothing_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "PACE_S", 0.01)
    async with core(tmp_path, answer=lambda _: None) as made:
        batch = await made.submit([item(index) for index in range(3)], at_hand=3)
        await made.executor.holds(3)
        for index in (0, 1):
            finish(made, batch, index)
            await made.processed(batch, index + 1)
        assert (await made.batches.get("default", batch.batch_id)).processed_items == 2


async def test_a_batch_that_waits_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "PACE_S", 3_600.0)
    async with core(tmp_path, answer=lambda _: None) as made:
        commits = Commits(made, monkeypatch)
        large = await made.submit([item(index) for index in range(4)], at_hand=4)
        small = await made.submit([item(0)], at_hand=1)
        await made.executor.holds(5)
        finish(made, large, 0)
        await made.processed(large, 1)
        finish(made, large, 1)
        finish(made, small, 0)
        assert (await made.ended(small)).status is BatchStatus.COMPLETED
        await made.processed(large, 2)
        assert commits.outcomes == [1, 2]


async def test_the_start_of_another_batch_makes_nothing_wait_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "PACE_S", 0.5)
    async with core(tmp_path, answer=lambda _: None) as made:
        batch = await made.submit([item(index) for index in range(3)], at_hand=3)
        await made.executor.holds(3)
        finish(made, batch, 0)
        await made.processed(batch, 1)
        monkeypatch.setattr(recorder, "PACE_S", 3_600.0)
        await made.submit([item(0)], at_hand=1)
        await made.executor.holds(3)
        finish(made, batch, 1)
        await made.processed(batch, 2)
