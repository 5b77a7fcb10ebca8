"""Work of different kinds side by side, and an attempt that waits as long as it was asked to."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import pytest
from msgspec import structs
from tests.integration.batches.core import core, fail, succeed
from tests.unit.batches.samples import item

from imagebatch.v1.enums import BatchStatus, ItemErrorCode
from imagebatch_server.batches.model import AttemptResult, Dispatch


async def test_a_lane_that_is_full_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(dispatch: Dispatch) -> AttemptResult | None:
        return None if dispatch.operation == "slow" else succeed(dispatch)

    async with core(tmp_path, answer) as made:

        def room(lane: str) -> int:
            return 4 - sum(dispatch.operation == lane for dispatch in made.executor.in_flight.values())

        monkeypatch.setattr(made.executor, "lane", lambda operation, parameters: operation)
        monkeypatch.setattr(made.executor, "room", room)
        slow = await made.submit([item(index) for index in range(50)], operation="slow", priority=10)
        quick = await made.submit([item(index) for index in range(50)], operation="quick", priority=1)
        assert (await made.ended(quick)).status is BatchStatus.COMPLETED
        assert len(made.executor.in_flight) == 4
        for dispatch in list(made.executor.in_flight.values()):
            made.executor.finish(succeed(dispatch))
        made.executor.answer = succeed
        assert (await made.ended(slow)).status is BatchStatus.COMPLETED


async def test_another_attempt_waits_as_long_as_it_was_asked_to_and_tokens_add_up(tmp_path: Path) -> None:
    at: dict[int, float] = {}

    def answer(dispatch: Dispatch) -> AttemptResult:
        at[dispatch.attempt] = monotonic()
        if dispatch.attempt == 1:
            return structs.replace(fail(dispatch, ItemErrorCode.PROVIDER_ERROR, transient=True), retry_after_s=0.4)
        success = succeed(dispatch)
        return structs.replace(success, outcome=structs.replace(success.outcome, input_tokens=30, output_tokens=4))

    async with core(tmp_path, answer) as made:
        ended = await made.ended(await made.submit([item(0)]))
        assert ended.status is BatchStatus.COMPLETED
        assert at[2] - at[1] >= 0.4
        assert (ended.input_tokens, ended.output_tokens) == (30, 4)
