"""Operations that can't be loaded fail their own items, and nobody else's."""

from __future__ import annotations

import time

import pytest
from tests.integration.executors.harness import MIB, bench
from tests.operations_for_tests import OPERATIONS

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.executors.attempts.worker_pool import WorkersCannotStart


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ("load-fails", "FileNotFoundError: the model is missing"),
        ("no-module", "ModuleNotFoundError"),
        ("no-class", "AttributeError"),
        ("no-operation", "is no class derived from"),
        ("load-crashes", "3 times the worker was killed by SIGABRT"),
        ("load-hangs", "3 times the worker took more than 0.5 s"),
    ],
)
async def test_items_of_an_operation_that_cannot_be_loaded_fail_with_the_reason(operation: str, why: str) -> None:
    broken = {
        "no-module": "tests.nowhere:Operation",
        "no-class": "tests.operations_for_tests:Nobody",
        "no-operation": "tests.operations_for_tests:Nothing",
    }
    async with bench(operations=OPERATIONS | broken, load_timeout_s=0.5) as on:
        for _ in range(6):
            on.submit(operation=operation)
            on.submit(operation="scripted")
        results = await on.recorded.finish(12)
        for index, result in results.items():
            if index % 2:
                assert result.outcome.error_code is None
            else:
                assert result.outcome.error_code is ItemErrorCode.INTERNAL
                assert not result.transient
                assert operation in (result.outcome.error_message or "")
                assert why in (result.outcome.error_message or "")


async def test_a_failure_is_remembered_for_a_while() -> None:
    async with bench() as on:
        await on.run(operation="load-crashes")
        restarts = on.executor.restarts
        for _ in range(20):
            assert (await on.run(operation="load-crashes")).outcome.error_code is ItemErrorCode.INTERNAL
        assert on.executor.restarts == restarts


async def test_warm_operations_are_loaded_before_the_first_item() -> None:
    async with bench(warm=["load-slow"]) as on:
        assert on.executor.alive == 0
        on.submit(operation="noop")
        began = time.monotonic()
        await on.recorded.finish(1)
        assert time.monotonic() - began > 0.3
        assert on.executor.alive == 1


@pytest.mark.parametrize("broken", ["load-fails", "load-crashes"])
async def test_a_warm_operation_that_cannot_be_loaded_keeps_no_worker_from_coming_up(broken: str) -> None:
    async with bench(warm=[broken, "scripted"]) as on:
        assert (await on.run()).outcome.error_code is None
        assert on.executor.restarts <= 1


async def test_workers_that_never_start_are_reported_at_the_start() -> None:
    with pytest.raises(WorkersCannotStart, match="no worker process can start: the last one"):
        async with bench(memory_bytes=8 * MIB):
            pass
