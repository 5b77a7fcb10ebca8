"""What is asked at the very moment when it may be too late: cancel, retry and delete against ends and each other."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from grpc import aio
from tests.faults.batches import Maker, Submitted
from tests.faults.calls import CALL_TIMEOUT_S
from tests.faults.conftest import Tell
from tests.faults.load import Load
from tests.faults.logs import tracebacks
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, is_terminal, item
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.enums import BATCH_STATUS_BY_NUMBER
from imagebatch.v1.types_pb2 import BATCH_STATUS_CANCELLED, ITEM_ERROR_CODE_CANCELLED

ROUNDS = 60
WAITING_S = 5
"""How long a cancelled batch may take whose items all wait for their next attempt, of half a minute and more."""

Scenario = Callable[[Load, random.Random], Awaitable[None]]


@pytest.fixture
def server(store: Store) -> Iterator[ServerProcess]:
    with running_server(store.data_dir, store.settings, operations=OPERATIONS) as running:
        yield running


@pytest.fixture
def picture(server: ServerProcess) -> str:
    raw = Raw(server.address)
    key = raw.upload(pictures.drawn()).object_key
    raw.close()
    return key


@pytest.fixture
def play(
    store: Store, server: ServerProcess, picture: str, tmp_path: Path, seed: int
) -> Callable[[Scenario], Counter[str]]:
    """Plays a scenario, judges all batches that it submitted, and answers how their batches ended."""

    def run(scenario: Scenario) -> Counter[str]:
        return asyncio.run(played(scenario))

    async def played(scenario: Scenario) -> Counter[str]:
        chance = random.Random(seed)
        load = Load(server.address, Maker(chance, tmp_path, picture, host=None), chance, at_once=0)
        await scenario(load, chance)
        await load.judge(store)
        assert load.defects == []
        ends: Counter[str] = Counter()
        for batch in load.batches:
            if not batch.deleted:
                status = await load.status(batch.answers[0])
                ends[BATCH_STATUS_BY_NUMBER[status.status].value] += 1
        await load.close()
        assert tracebacks(server) == []
        return ends

    return run


def new(load: Load, kind: str) -> Submitted:
    batch = load.maker.make(kind)
    load.batches.append(batch)
    return batch


async def code_of(call: Awaitable[object]) -> str:
    """Tell the code that a call is answered with."""
    try:
        await call
    except aio.AioRpcError as error:
        return error.code().name
    return "OK"


def cancel(load: Load, batch_id: str) -> Awaitable[object]:
    return load.stub.CancelBatch(batch_service_pb2.CancelBatchRequest(batch_id=batch_id), timeout=CALL_TIMEOUT_S)


def retry(load: Load, batch_id: str) -> Awaitable[object]:
    return load.stub.RetryBatch(batch_service_pb2.RetryBatchRequest(batch_id=batch_id), timeout=CALL_TIMEOUT_S)


def delete(load: Load, batch_id: str) -> Awaitable[object]:
    return load.stub.DeleteBatch(batch_service_pb2.DeleteBatchRequest(batch_id=batch_id), timeout=CALL_TIMEOUT_S)


async def later(delay_s: float, call: Callable[[], Awaitable[object]]) -> str:
    await asyncio.sleep(delay_s)
    return await code_of(call())


@pytest.mark.timeout(600)
def test_cancel_while_finishing(play: Callable[[Scenario], Counter[str]], scale: float, tell: Tell) -> None:
    async def scenario(load: Load, chance: random.Random) -> None:
        took_s = 0.05
        for _ in range(round(ROUNDS * scale)):
            batch = new(load, "short")
            batch_id = await load.submit(batch)
            began = time.monotonic()
            cancels = [later(chance.uniform(0, took_s / 2), lambda: cancel(load, batch_id)) for _ in range(2)]  # noqa: B023 - ends in its round
            codes, _ = await asyncio.gather(asyncio.gather(*cancels), load.watch(batch, batch_id))
            assert set(codes) == {"OK"}
            batch.cancelled = (await load.status(batch_id)).HasField("cancel_requested_at")
            if not batch.cancelled:
                took_s = (took_s + time.monotonic() - began) / 2

    ends = play(scenario)
    tell(f"{ends.total()} batches cancelled twice about when they end: {dict(ends)}")
    assert set(ends) == {"completed", "cancelled"}, "it was a race"


@pytest.mark.timeout(600)
def test_retry_while_cancelling(play: Callable[[Scenario], Counter[str]], scale: float, tell: Tell) -> None:
    answers: Counter[str] = Counter()

    async def scenario(load: Load, chance: random.Random) -> None:
        for _ in range(round(ROUNDS * scale / 2)):
            batch = new(load, "failing")
            batch_id = await load.submit(batch)
            await load.watch(batch, batch_id)
            failed = (await load.status(batch_id)).failed_items
            batch.watches.clear()
            cancels = [later(chance.uniform(0, 0.02), lambda: cancel(load, batch_id)) for _ in range(2)]  # noqa: B023 - ends in its round
            retries = [later(chance.uniform(0, 0.03), lambda: retry(load, batch_id)) for _ in range(3)]  # noqa: B023 - ends in its round
            codes, again = await asyncio.gather(asyncio.gather(*cancels), asyncio.gather(*retries))
            assert set(codes) == {"OK"}
            assert set(again) <= {"OK", "FAILED_PRECONDITION"}
            answers.update(again)
            batch.retries += failed > 0
            await load.watch(batch, batch_id)
            batch.cancelled = (await load.status(batch_id)).HasField("cancel_requested_at")

    ends = play(scenario)
    tell(f"{ends.total()} failed batches retried three times and cancelled twice at once: {dict(ends)}")
    tell(f"retries were answered {dict(answers)}")
    assert ends["cancelled"]


@pytest.mark.timeout(600)
def test_delete_while_watchers_read_and_others_retry(
    play: Callable[[Scenario], Counter[str]], scale: float, tell: Tell
) -> None:
    watched: Counter[str] = Counter()
    answers: Counter[str] = Counter()

    async def watch(load: Load, batch_id: str, pause_s: float) -> str:
        try:
            stream = load.stub.WatchBatch(
                batch_service_pb2.WatchBatchRequest(batch_id=batch_id), timeout=CALL_TIMEOUT_S
            )
            async for message in stream:
                await asyncio.sleep(pause_s)
                if message.HasField("status") and is_terminal(message.status):
                    return "end seen"
        except aio.AioRpcError as error:
            return error.code().name
        return "cut"

    async def scenario(load: Load, chance: random.Random) -> None:
        for _ in range(round(ROUNDS * scale / 2)):
            batch = new(load, "failing")
            batch_id = await load.submit(batch)
            await load.watch(batch, batch_id)
            batch.watches.clear()
            first, second, third = (chance.uniform(0, 0.01) for _ in range(3))
            deleted, retried, *seen = await asyncio.gather(
                later(first, lambda: delete(load, batch_id)),  # noqa: B023 - ends in its round
                later(second, lambda: retry(load, batch_id)),  # noqa: B023 - ends in its round
                *(watch(load, batch_id, third) for _ in range(3)),
            )
            watched.update(seen)
            answers[f"delete {deleted}, retry {retried}"] += 1
            batch.retries += retried == "OK"
            batch.deleted = deleted == "OK"
            if not batch.deleted:
                await load.watch(batch, batch_id)

    ends = play(scenario)
    tell(
        f"{answers.total()} failed batches deleted and retried at once: {dict(answers)}; those that stayed: "
        f"{dict(ends)}"
    )
    tell(f"watches of them meanwhile: {dict(watched)}")
    assert set(watched) <= {"end seen", "NOT_FOUND"}
    assert set(answers) <= {
        "delete OK, retry NOT_FOUND",
        "delete OK, retry OK",
        "delete FAILED_PRECONDITION, retry OK",
    }


def test_cancel_with_items_that_wait_for_an_attempt(
    server: ServerProcess, picture: str, tmp_path: Path, tell: Tell
) -> None:
    raw = Raw(server.address)
    busy = {"do": "fail", "code": "provider_error", "message": "busy", "transient": True}
    tried = [tmp_path / f"tried-{index}" for index in range(200)]
    items = [item(object_key=picture, metadata={**busy, "begun": str(path)}) for path in tried]
    batch_id = raw.submit(items, max_attempts=10).batch_id
    eventually(lambda: all(path.exists() for path in tried))  # all have failed once at the least, and most wait
    began = time.monotonic()
    raw.batches.CancelBatch(batch_service_pb2.CancelBatchRequest(batch_id=batch_id))
    watched = raw.watch_to_end(batch_id)
    took_s = time.monotonic() - began
    raw.close()
    assert watched.statuses[-1].status == BATCH_STATUS_CANCELLED
    cancelled = sum(result.error_code == ITEM_ERROR_CODE_CANCELLED for result in watched.results)
    assert (len(watched.results), took_s < WAITING_S) == (200, True)
    assert cancelled > 150
    tell(f"200 items that wait for another attempt: cancelled within {took_s:.2f} s, {cancelled} skipped")


@pytest.mark.timeout(600)
def test_one_request_id_submitted_at_once(play: Callable[[Scenario], Counter[str]], scale: float, tell: Tell) -> None:
    async def scenario(load: Load, chance: random.Random) -> None:
        for _ in range(round(ROUNDS * scale)):
            batch = new(load, "tiny")
            ids = await asyncio.gather(*(load.submit(batch) for _ in range(4)))
            assert len(set(ids)) == 1
            await load.watch(batch, ids[0])

    ends = play(scenario)
    tell(f"{ends.total()} request_ids submitted four times at once: one batch each")
