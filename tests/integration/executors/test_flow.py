"""What goes in, what comes out, and in which order."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.integration.executors.harness import (
    MIB,
    PICTURE,
    bench,
    eventually,
    file,
    output,
    took_ms,
)
from tests.operations_for_tests import OPERATIONS

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError, StoreUnavailable
from imagebatch_server.limits import MAX_ERROR_MESSAGE_BYTES

THUMBNAIL = "imagebatch_server.operations.thumbnail:Thumbnail"


async def test_an_operation_gets_what_was_submitted() -> None:
    async with bench() as on:
        result = await on.run({"a": [1, {"b": None}]}, parameters={"word": "hello"})
        answered = output(result)
        assert answered.pop("pid") > 0
        assert answered == {
            "item_index": 0,
            "metadata": {"a": [1, {"b": None}]},
            "declared_type": "image/png",
            "format": "png",
            "word": "hello",
        }
        assert result.outcome.image_sha256 == hashlib.sha256(PICTURE).hexdigest()
        assert on.recorded.names_of(0) == ["started", "finished"]


async def test_operations_and_parameters_interleaved_are_never_mixed_up() -> None:
    async with bench(workers=2) as on:
        await on.warm_up()
        first = on.submitted
        for index in range(200):
            operation = ("scripted", "other")[index % 2]
            on.submit({"n": index}, operation=operation, parameters={"word": str(index % 3)}, batch_id=operation)
        results = await on.recorded.finish(on.submitted)
        for index in range(200):
            answered = output(results[first + index])
            assert (answered["metadata"], answered["word"]) == ({"n": index}, str(index % 3))


async def test_a_small_batch_does_not_wait_behind_a_large_one() -> None:
    async with bench() as on:
        for _ in range(50):
            on.submit({"do": "sleep", "seconds": 0.02}, batch_id="large")
        small = on.submit(batch_id="small").item.item_index
        await on.recorded.until(lambda: small in on.recorded.results)
        assert len(on.recorded.results) < 15


async def test_quick_items_are_overtaken_only_where_much_work_waits() -> None:
    async with bench() as on:
        script = {"do": "sleep", "seconds": 0.02}
        for _ in range(20):
            on.submit(script)
        await on.recorded.finish(20)  # by which it knows how long one takes

        for _ in range(5):
            on.submit(script)
        assert on.executor.last_turn_ms == -math.inf
        waiting = [on.submit(script) for _ in range(40)]
        assert on.executor.last_turn_ms == max(it.turn_ms for it in waiting) > -math.inf
        await on.recorded.finish(on.submitted)
        assert on.executor.last_turn_ms == -math.inf


@pytest.mark.parametrize(
    ("script", "code", "message", "transient"),
    [
        ({"do": "fail", "code": "decode_failed", "message": "cut off"}, "decode_failed", "cut off", False),
        ({"do": "fail", "code": "provider_error", "message": "m", "transient": True}, "provider_error", "m", True),
        ({"do": "misbehave"}, "internal", "operation scripted failed: ZeroDivisionError: a mistake", False),
    ],
)
async def test_an_operation_fails_its_item(script: dict[str, Any], code: str, message: str, transient: bool) -> None:
    async with bench() as on:
        result = await on.run(script)
        assert (result.outcome.error_code, result.outcome.error_message, result.transient) == (
            ItemErrorCode(code),
            message,
            transient,
        )
        assert result.outcome.image_sha256 == hashlib.sha256(PICTURE).hexdigest()
        assert result.outcome.output_data is None


async def test_long_messages_are_cut_at_a_character() -> None:
    async with bench() as on:
        for script in ({"do": "misbehave"}, {"do": "fail", "code": "internal"}):
            message = (await on.run({**script, "message": "ä" * 5_000})).outcome.error_message or ""
            assert message.endswith("ä...")
            assert MAX_ERROR_MESSAGE_BYTES - 2 <= len(message.encode()) <= MAX_ERROR_MESSAGE_BYTES


async def test_a_traceback_goes_to_the_log_and_not_to_the_caller() -> None:
    async with bench() as on:
        with capture_logs() as logs:
            result = await on.run({"do": "misbehave"})
        (entry,) = [entry for entry in logs if entry["event"] == "item.operation_failed"]
        assert "in _misbehave" in entry["traceback"]
        assert (entry["batch_id"], entry["item_index"]) == ("batch", 0)
        assert "Traceback" not in (result.outcome.error_message or "")


async def test_what_an_operation_prints_goes_to_the_log() -> None:
    async with bench() as on:
        with capture_logs() as logs:
            await on.run({"do": "print", "message": "hello"})
            await eventually(lambda: any(entry.get("line") == "hello" for entry in logs))


@pytest.mark.parametrize(
    ("metadata", "operation", "message"),
    [
        ({"characters": 300_000}, "verbose", "the limit is 262,144"),
        ({}, "no-output", "returned int; it must return Output or Stored"),
    ],
)
async def test_an_answer_that_breaks_the_rules_is_internal(
    metadata: dict[str, Any], operation: str, message: str
) -> None:
    async with bench() as on:
        result = await on.run(metadata, operation=operation)
        assert result.outcome.error_code is ItemErrorCode.INTERNAL
        assert message in (result.outcome.error_message or "")
        assert on.executor.restarts == 0


async def test_an_answer_of_the_largest_size_passes() -> None:
    async with bench() as on:
        assert len(output(await on.run({"characters": 262_000}, operation="verbose"))["word"]) == 262_000


async def test_a_missing_and_a_large_object_fail_their_items() -> None:
    async with bench(max_image_bytes=1_000) as on:
        on.blobs.blobs["tenant.large"] = bytes(1_001)
        on.submit(key="tenant.missing")
        on.submit(key="tenant.large")
        on.submit()
        results = await on.recorded.finish(3)
        codes = [results[index].outcome.error_code for index in range(3)]
        assert codes == [ItemErrorCode.OBJECT_NOT_FOUND, ItemErrorCode.TOO_LARGE, None]
        assert on.recorded.names_of(0) == ["finished"]
        assert took_ms(results[0]) >= 0


async def test_a_store_that_is_away_is_waited_for() -> None:
    async with bench() as on:
        tries = 0

        def fail_twice() -> None:
            nonlocal tries
            tries += 1
            if tries <= 2:
                raise StoreUnavailable("the disk is full")

        on.blobs.before_read = fail_twice
        assert (await on.run()).outcome.error_code is None
        tries = 0
        on.blobs.before_write = fail_twice
        assert (await on.run(operation="storing")).objects
        assert tries > 3


async def test_a_store_that_breaks_fails_the_items_and_goes_on() -> None:
    async with bench() as on:

        def break_() -> None:
            raise RuntimeError("a mistake")

        on.blobs.before_read = on.blobs.before_write = break_
        assert (await on.run()).outcome.error_code is ItemErrorCode.INTERNAL
        on.blobs.before_read = lambda: None
        assert (await on.run(operation="storing")).outcome.error_code is ItemErrorCode.INTERNAL
        on.blobs.before_write = lambda: None
        assert (await on.run(operation="storing")).outcome.error_code is None


async def test_an_image_in_a_result_is_stored_before_the_attempt_is_over() -> None:
    async with bench() as on:
        for _ in range(20):
            on.submit(operation="storing")
        results = await on.recorded.finish(20)
        keys = set()
        for result in results.values():
            (stored,) = result.objects
            assert on.blobs.blobs[stored.object_key] == PICTURE
            assert (stored.tenant, stored.content_type, stored.size_bytes) == ("tenant", "image/png", len(PICTURE))
            assert stored.sha256 == hashlib.sha256(PICTURE).hexdigest()
            assert datetime.now(UTC) - stored.created_at < timedelta(minutes=1)
            keys.add(stored.object_key)
        assert len(keys) == 20


async def test_a_preview_of_what_was_decoded_is_stored_beside_the_outcome() -> None:
    async with bench(makes_previews=True) as on:
        for metadata in ({}, {"failure": "permanent"}):
            result = await on.run(metadata, operation="decoding", url="http://host/picture.png")
            (preview,) = result.objects
            assert result.outcome.preview_object_key == preview.object_key
            assert on.blobs.blobs[preview.object_key][:3] == b"\xff\xd8\xff"
            assert (preview.tenant, preview.content_type) == ("tenant", "image/jpeg")
            assert preview.sha256 == hashlib.sha256(on.blobs.blobs[preview.object_key]).hexdigest()
        for metadata, operation in (({"failure": "transient"}, "decoding"), ({}, "noop")):
            result = await on.run(metadata, operation=operation)
            assert (result.objects, result.outcome.preview_object_key) == ((), None)


async def test_a_result_and_its_preview_are_stored_together() -> None:
    async with bench(makes_previews=True, operations=OPERATIONS | {"thumbnail": THUMBNAIL}) as on:
        result = await on.run(operation="thumbnail")
        assert [stored.object_key for stored in result.objects] == [
            result.outcome.stored_object_key,
            result.outcome.preview_object_key,
        ]
        assert len({on.blobs.blobs[stored.object_key] for stored in result.objects}) == 2


async def test_no_outcome_fails_or_waits_for_a_preview_that_can_not_be_stored() -> None:
    tries = 0

    def fail(error: Exception) -> Callable[[], None]:
        def fail_() -> None:
            nonlocal tries
            tries += 1
            raise error

        return fail_

    for error in (StoreUnavailable("the disk is full"), RuntimeError("a mistake")):
        async with bench(makes_previews=True) as on:
            tries = 0
            on.blobs.before_write = fail(error)
            for _ in range(3):
                result = await on.run(operation="decoding")
                assert result.outcome.error_code is None
                assert (result.objects, result.outcome.preview_object_key) == ((), None)
            assert tries == 1, "for a while no other one is tried"


async def test_a_url_is_fetched_and_its_slot_freed_before_it_runs() -> None:
    async with bench() as on:
        on.fetcher.answers["http://ok/"] = file(content_type="image/jpeg")
        assert output(await on.run(url="http://ok/"))["declared_type"] == "image/jpeg"
        assert on.recorded.names_of(0) == ["fetched", "answered", "started", "finished"]


async def test_a_url_that_cannot_be_fetched_fails_its_item() -> None:
    async with bench() as on:
        on.fetcher.answers["http://a/"] = ItemError(ItemErrorCode.FETCH_FAILED, "status 503", transient=True)
        on.fetcher.answers["http://b/"] = ValueError("a mistake")
        for url in ("http://a/", "http://b/"):
            on.submit(url=url)
        results = await on.recorded.finish(2)
        assert (results[0].outcome.error_code, results[0].transient) == (ItemErrorCode.FETCH_FAILED, True)
        assert results[1].outcome.error_code is ItemErrorCode.INTERNAL
        assert on.recorded.names_of(0) == on.recorded.names_of(1) == ["fetched", "finished"]


async def test_fetches_that_hang_hold_up_no_stored_image() -> None:
    async with bench() as on:
        on.fetcher.gate.clear()
        for _ in range(64):
            on.submit(url="http://slow/")
        stored = on.submit().item.item_index
        await on.recorded.until(lambda: stored in on.recorded.results)
        await eventually(lambda: on.fetcher.running == 64)  # young ones are enough at first; old ones no longer count
        on.fetcher.gate.set()
        await on.recorded.finish(65)


async def test_images_are_brought_ahead_in_bounded_memory() -> None:
    async with bench(max_ready_bytes=4 * MIB) as on:
        await on.warm_up(items=60)
        on.blobs.blobs["tenant.large"] = PICTURE + bytes(MIB)
        on.fetcher.answers["http://ok/"] = file(PICTURE + bytes(MIB))
        least_free_bytes = 4 * MIB

        def measure(*_: object) -> None:
            nonlocal least_free_bytes
            least_free_bytes = min(least_free_bytes, on.executor._budget.free_bytes)

        on.recorded.on_event = measure
        for index in range(40):
            on.submit({"n": index}, key="tenant.large")
            on.submit({"n": index}, url="http://ok/")
        results = await on.recorded.finish(on.submitted)
        assert all(result.outcome.error_code is None for result in results.values())
        assert -2 * MIB < least_free_bytes < 2 * MIB, "much of it was used, and little more"
        assert on.executor._budget.free_bytes == 4 * MIB


async def test_quick_items_are_asked_for_several_at_a_time() -> None:
    async with bench(workers=2) as on:
        await on.warm_up("noop", items=200)
        on.blobs.before_read = unavailable
        wanted = on.executor.room()
        submitted = [on.submit(operation="noop") for _ in range(wanted)]
        for dispatch in submitted[: wanted // 4]:
            on.executor.forget(dispatch)
        assert on.executor.room() == 0
        for dispatch in submitted[wanted // 4 : wanted // 2]:
            on.executor.forget(dispatch)
        assert on.executor.room() >= wanted // 2


def unavailable() -> None:
    raise StoreUnavailable("the folder is away")


async def test_room_is_what_keeps_the_workers_busy() -> None:
    async with bench(workers=2) as on:
        assert on.executor.room() == 4  # nothing is known of how long items take
        script = {"do": "wait", "until": "/nonexistent"}
        while on.executor.room():
            on.submit(script)
        assert on.submitted == 4
        assert on.executor.room_to_fetch() > 0
    async with bench(workers=2) as on:
        await on.warm_up("noop", items=200)
        assert on.executor.room() > 100
        await asyncio.sleep(0)
        assert on.executor.room_to_fetch() > 100
