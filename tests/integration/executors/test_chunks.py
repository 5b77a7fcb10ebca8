"""Operations that take several items at once: the items of a chunk pay for nothing that they did not do alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.integration.executors.harness import Bench, bench, eventually, output

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.model import AttemptResult


async def run_chunk(on: Bench, gate: Path, scripts: list[dict[str, Any] | None], **how: Any) -> list[AttemptResult]:
    """Run items that go out together, behind one that waits."""
    on.submit({"do": "wait", "begun": str(gate) + "-begun", "until": str(gate)}, operation="scripted")
    await on.recorded.until(lambda: on.recorded.names_of(on.submitted - 1) == ["started"])
    first = on.submitted
    for script in scripts:
        on.submit(script, operation="chunked", **how)
    await eventually(lambda: on.pool._ready._items == len(scripts))
    gate.touch()
    results = await on.recorded.finish(on.submitted)
    return [results[index] for index in range(first, on.submitted)]


async def test_items_go_together_up_to_the_operations_number(tmp_path: Path) -> None:
    async with bench(chunk_items={"chunked": 8}) as on:
        results = await run_chunk(on, tmp_path / "gate", [None] * 11)
        assert [output(result)["word"] for result in results] == ["8"] * 8 + ["3"] * 3
        assert [output(result)["item_index"] for result in results] == list(range(1, 12))


async def test_a_chunk_that_raises_costs_the_item_that_raised(tmp_path: Path) -> None:
    async with bench(chunk_items={"chunked": 8}) as on:
        results = await run_chunk(on, tmp_path / "gate", [None, {"do": "misbehave"}, None])
        assert [result.outcome.error_code for result in results] == [None, ItemErrorCode.INTERNAL, None]
        assert "ZeroDivisionError" in (results[1].outcome.error_message or "")
        assert output(results[0])["word"] == "1", "it was run again by itself"


async def test_an_item_may_fail_within_its_chunk(tmp_path: Path) -> None:
    failing = {"do": "fail", "code": "provider_error", "message": "no"}
    async with bench(chunk_items={"chunked": 8}) as on:
        results = await run_chunk(on, tmp_path / "gate", [None, failing, None])
        assert [result.outcome.error_code for result in results] == [None, ItemErrorCode.PROVIDER_ERROR, None]
        assert output(results[0])["word"] == "3"


async def test_a_file_that_is_no_image_fails_before_the_chunk_is_run(tmp_path: Path) -> None:
    async with bench(chunk_items={"chunked": 8}) as on:
        on.blobs.blobs["tenant.text"] = b"text"
        results = await run_chunk(on, tmp_path / "gate", [None], key="tenant.text")
        assert results[0].outcome.error_code is ItemErrorCode.UNSUPPORTED_FORMAT
        assert output(await on.run(operation="chunked"))["word"] == "1"


async def test_results_that_do_not_match_the_items_are_the_operations_mistake(tmp_path: Path) -> None:
    async with bench(chunk_items={"chunked": 8}) as on:
        results = await run_chunk(on, tmp_path / "gate", [{"forget-one": True}])
        assert results[0].outcome.error_code is ItemErrorCode.INTERNAL
        assert "0 results for 1 images" in (results[0].outcome.error_message or "")


@pytest.mark.parametrize(
    ("deed", "timeout_s", "code"),
    [("crash", 30.0, ItemErrorCode.WORKER_CRASHED), ("hang", 0.5, ItemErrorCode.TIMEOUT)],
)
async def test_a_chunk_that_takes_its_child_down_costs_one_item(
    deed: str, timeout_s: float, code: ItemErrorCode, tmp_path: Path
) -> None:
    async with bench(chunk_items={"chunked": 8}) as on:
        results = await run_chunk(on, tmp_path / "gate", [None, None, {"do": deed}, None], timeout_s=timeout_s)
        assert [result.outcome.error_code for result in results] == [None, None, code, None]
        assert on.executor.restarts == 2, "once together, once alone"
        for index in range(1, 5):
            assert on.recorded.names_of(index) == ["started", "started", "finished"]


async def test_a_fifth_of_poison_costs_a_fifth(tmp_path: Path) -> None:
    async with bench(workers=2, chunk_items={"chunked": 8}) as on:
        for index in range(30):
            on.submit({"do": "kill"} if index % 5 == 4 else None, operation="chunked")
        results = await on.recorded.finish(30)
        codes = [results[index].outcome.error_code for index in range(30)]
        assert codes == ([None] * 4 + [ItemErrorCode.WORKER_CRASHED]) * 6
