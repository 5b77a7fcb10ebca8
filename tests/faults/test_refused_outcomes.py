"""What an operation answers and no store can hold fails its own item, and holds up no neighbour and no restart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs
from tests.faults.conftest import Tell
from tests.faults.operations import ANSWERS, OPERATIONS
from tests.faults.stores import Store
from tests.integration.batches.core import core, succeed
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.server import running_server
from tests.unit.batches.samples import item as item_value

from imagebatch.v1.enums import BatchStatus, ItemErrorCode
from imagebatch.v1.types_pb2 import (
    BATCH_ITEM_STATUS_SUCCESS,
    BATCH_STATUS_COMPLETED,
    BATCH_STATUS_PARTIALLY_COMPLETED,
    ITEM_ERROR_CODE_INTERNAL,
)
from imagebatch_server.batches.model import AttemptResult, Dispatch, ItemFilter, StoredObject

NEIGHBOURS = 3
"""Good items after each bad one."""


def test_an_answer_that_nobody_can_store_fails_its_own_item(store: Store, tell: Tell) -> None:
    settings = {**store.settings, "workers": "2"}
    with running_server(store.data_dir, settings, operations=OPERATIONS) as server:
        raw = Raw(server.address)
        picture = raw.upload(pictures.drawn()).object_key
        answers = [one for answer in ANSWERS for one in (answer, *[""] * NEIGHBOURS)]
        bad = raw.submit(
            [item(object_key=picture, metadata={"answer": one} if one else {}) for one in answers],
            operation="misanswering",
        ).batch_id
        good = raw.submit([item(object_key=picture) for _ in range(50)], operation="misanswering").batch_id
        assert raw.watch_to_end(good).statuses[-1].status == BATCH_STATUS_COMPLETED
        watched = raw.watch_to_end(bad)
        assert watched.statuses[-1].status == BATCH_STATUS_PARTIALLY_COMPLETED
        results = {result.item_index: result for result in watched.results}
        assert sorted(results) == list(range(len(answers)))
        for index, answer in enumerate(answers):
            result = results[index]
            if answer:
                assert result.error_code == ITEM_ERROR_CODE_INTERNAL, (answer, result)
                assert len(result.error_message.encode()) <= 2048
                tell(f"{answer}: {result.error_message[:120]}")
            else:
                assert result.status == BATCH_ITEM_STATUS_SUCCESS, result
        raw.close()

        server.kill()
        server.start()
        raw = Raw(server.address)
        again = raw.submit([item(object_key=picture)], operation="misanswering").batch_id
        assert raw.watch_to_end(again).statuses[-1].status == BATCH_STATUS_COMPLETED
        assert raw.status(bad).status == BATCH_STATUS_PARTIALLY_COMPLETED
        raw.close()


def _for_ages(result: AttemptResult) -> AttemptResult:
    outcome = structs.replace(result.outcome, processing_time_ms=10**20)
    return structs.replace(result, outcome=outcome)


def _of_half_a_character(result: AttemptResult) -> AttemptResult:
    return structs.replace(result, outcome=structs.replace(result.outcome, image_sha256="\ud800"))


def _with_a_broken_object(result: AttemptResult) -> AttemptResult:
    stored = StoredObject("default", "key", "0" * 64, 2**80, "image/png", "", datetime.now(UTC))
    return structs.replace(result, outcome=structs.replace(result.outcome, stored_object_key="key"), objects=(stored,))


@pytest.mark.parametrize("spoil", [_for_ages, _of_half_a_character, _with_a_broken_object])
async def test_an_outcome_that_the_store_itself_refuses_stalls_nobody(
    store: Store, tmp_path: Path, spoil: Callable[[AttemptResult], AttemptResult], tell: Tell
) -> None:
    """Whatever gets past every check: the recorder finds the one in a group of two batches."""

    def answer(dispatch: Dispatch) -> AttemptResult:
        return spoil(succeed(dispatch)) if dispatch.item.item_index == 17 else succeed(dispatch)

    store.data_dir.mkdir(exist_ok=True)
    async with core(tmp_path, answer, room=100, url=store.url) as made:
        spoilt = await made.submit([item_value(index) for index in range(40)], at_hand=40)
        neighbour = await made.submit([item_value(index) for index in range(10)], at_hand=10)
        ended = await made.ended(spoilt)
        assert (ended.status, ended.failure_counts) == (BatchStatus.PARTIALLY_COMPLETED, {"internal": 1})
        assert (await made.ended(neighbour)).status is BatchStatus.COMPLETED
        _, _, results = await made.batches.page("default", spoilt.batch_id, ItemFilter(), 17, 1)
        assert results[0].outcome is not None
        assert results[0].outcome.error_code is ItemErrorCode.INTERNAL
    tell(f"{spoil.__name__.removeprefix('_').replace('_', ' ')}: 39 of 40 recorded, the one INTERNAL")
