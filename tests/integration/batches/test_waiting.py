"""Why a batch waits: what its owner finds, and that every server can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs
from tests.integration.batches.core import Core, core, fail, succeed
from tests.postgres import MIGRATED, session_server
from tests.unit.batches.samples import item

from imagebatch.v1.enums import ItemErrorCode, WaitingReason
from imagebatch_server.batches.claim import Claim
from imagebatch_server.batches.hosts import Hosts
from imagebatch_server.batches.model import AttemptResult, Batch, Dispatch, RetryRequest, Waiting
from imagebatch_server.batches.only_server import OnlyServer
from imagebatch_server.batches.ports.batches import WaitingChange
from imagebatch_server.batches.waiting import WaitingReasons


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    """None for a file."""
    if request.param == "sqlite":
        yield None
        return
    with session_server(tmp_path_factory) as server:
        url = server.create_database(MIGRATED)
        yield url
        server.drop_database(url)


def later(_dispatch: Dispatch) -> None:
    """Leave the attempt in flight."""


def busy(dispatch: Dispatch, code: ItemErrorCode, retry_after_s: float | None) -> AttemptResult:
    return structs.replace(fail(dispatch, code, transient=True), busy=True, retry_after_s=retry_after_s)


class Told:
    """The reasons of a core, and those that another server tells, which has no more than the store."""

    def __init__(self, made: Core, hosts: Hosts | None = None, operations: tuple[str, ...] = ("noop",)) -> None:
        self.is_away = False
        self.made = made
        scheduler, executor, store = made.scheduler, made.executor, made.batch_store
        chosen = hosts or made.scheduler._hosts
        self.here = WaitingReasons(
            scheduler.running, chosen, executor, lambda: self.is_away, store, made.servers, lambda: datetime.now(UTC)
        )
        elsewhere = OnlyServer(Claim("another", operations))
        self.elsewhere = WaitingReasons(
            lambda: (), chosen, executor, lambda: False, store, elsewhere, lambda: datetime.now(UTC)
        )

    async def until(self, batch: Batch, expected: WaitingReason) -> Waiting:
        """Look until this is the reason: the scheduler is at it."""
        async with asyncio.timeout(20):
            while True:
                waiting = await self.of(batch)
                if waiting is not None and waiting.reason is expected:
                    return waiting
                await asyncio.sleep(0.01)

    async def of(self, batch: Batch) -> Waiting | None:
        """Look, and hold what another server tells against what the owner does."""
        await self.here.look()
        stored = await self.made.batch_store.get(batch.tenant, batch.batch_id)
        found = self.here.of(stored)
        if not self.is_away:
            assert self.elsewhere.of(stored) == found
        return found


def reason(waiting: Waiting | None) -> WaitingReason | None:
    return None if waiting is None else waiting.reason


async def test_a_batch_waits_behind_others_until_its_turn(tmp_path: Path, url: str | None) -> None:
    async with core(tmp_path, later, room=4, url=url) as made:
        told = Told(made)
        first = await made.submit([item(index) for index in range(20)])
        await made.executor.holds(4)
        for dispatch in list(made.executor.in_flight.values()):
            made.executor.begin(dispatch)
        second = await made.submit([item(0)], at_hand=1)
        of_other = await made.submit([item(0)], at_hand=1, tenant="another")
        await asyncio.sleep(0)
        assert await told.of(first) is None, "it is worked on"
        assert await told.of(second) == Waiting(WaitingReason.BEHIND_OTHERS, items_ahead=4)
        assert await told.of(of_other) == Waiting(WaitingReason.BEHIND_OTHERS), "nothing of other tenants is told"
        made.executor.answer = succeed
        for dispatch in list(made.executor.in_flight.values()):
            made.executor.finish(succeed(dispatch))
        await made.ended(second)
        assert await told.of(second) is None


async def test_a_host_that_asked_to_be_left_alone_is_named(tmp_path: Path, url: str | None) -> None:
    def answer(dispatch: Dispatch) -> AttemptResult:
        return busy(dispatch, ItemErrorCode.FETCH_FAILED, 60.0)

    async with core(tmp_path, answer, url=url) as made:
        told = Told(made)
        before = datetime.now(UTC)
        batch = await made.submit([item(index, image_url=f"http://busy.example/{index}") for index in range(5)])
        waiting = await told.until(batch, WaitingReason.HOST_ASKED_TO_WAIT)
        assert waiting.detail == "5 items wait for busy.example"
        assert waiting.until is not None
        assert 59 <= (waiting.until - before).total_seconds() <= 75
        await made.batches.cancel("default", batch.batch_id)
        assert await told.of(batch) is None, "what is being cancelled waits for nothing"


async def test_a_host_at_its_limit_is_named(tmp_path: Path) -> None:
    async with core(tmp_path, later) as made:
        told = Told(made)
        batch = await made.submit([item(index, image_url=f"http://slow.example/{index}") for index in range(9)])
        await made.executor.holds(2)
        waiting = await told.until(batch, WaitingReason.HOST_LIMIT)
        assert waiting == Waiting(WaitingReason.HOST_LIMIT, detail="7 items wait for slow.example")


async def test_an_endpoint_that_takes_no_more_and_a_backoff_tell_until_when(tmp_path: Path) -> None:
    def answer(dispatch: Dispatch) -> AttemptResult:
        if dispatch.operation == "slow":
            return busy(dispatch, ItemErrorCode.PROVIDER_ERROR, 30.0)
        return structs.replace(fail(dispatch, ItemErrorCode.PROVIDER_ERROR, transient=True), retry_after_s=30.0)

    async with core(tmp_path, answer) as made:
        told = Told(made, operations=("noop", "slow"))
        limited = await made.submit([item(index) for index in range(3)], operation="slow")
        failing = await made.submit([item(0)])
        for batch, expected, words in (
            (limited, WaitingReason.PROVIDER_LIMIT, "3 items wait for the model's endpoint"),
            (failing, WaitingReason.BACKOFF, "1 item waits for another attempt"),
        ):
            waiting = await told.until(batch, expected)
            assert waiting.detail == words
            assert waiting.until is not None
            assert 20 <= (waiting.until - datetime.now(UTC)).total_seconds() <= 31


async def test_a_pause_is_told_by_any_server_at_once_and_with_its_end_no_more(tmp_path: Path) -> None:
    async with core(tmp_path, later) as made:
        told = Told(made)
        batch = await made.submit([item(index) for index in range(20)])
        await made.executor.holds(8)
        paused = await made.batches.pause("default", batch.batch_id)
        for server in (told.here, told.elsewhere):
            assert server.of(paused) == Waiting(WaitingReason.PAUSED)
        resumed = await made.batches.resume("default", batch.batch_id)
        assert reason(told.elsewhere.of(resumed)) is None


async def test_without_a_worker_or_an_operation_it_says_so(tmp_path: Path) -> None:
    async with core(tmp_path, later, room=0) as made:
        told = Told(made)
        batch = await made.submit([item(0)], at_hand=1)
        assert await told.of(batch) == Waiting(WaitingReason.NO_ROOM)
        made.executor.alive = 0
        assert reason(await told.of(batch)) is WaitingReason.NO_WORKER
        made.executor.alive = 1
        stored = await made.store([item(0)], operation="unheard-of")
        waiting = told.here.of(stored)
        assert waiting == Waiting(WaitingReason.NO_WORKER, detail="no server offers the operation unheard-of")


async def test_while_the_store_is_away_the_owner_tells_of_it(tmp_path: Path) -> None:
    async with core(tmp_path, later) as made:
        told = Told(made)
        batch = await made.submit([item(0)], at_hand=1)
        told.is_away = True
        assert reason(await told.of(batch)) is WaitingReason.STORE_AWAY
        told.is_away = False
        assert reason(await told.of(batch)) is not WaitingReason.STORE_AWAY


async def test_what_another_epoch_knows_is_not_overwritten(tmp_path: Path, url: str | None) -> None:
    async with core(tmp_path, url=url) as made:
        batch = await made.store([item(0)])
        store, waiting = made.batch_store, Waiting(WaitingReason.NO_ROOM)
        change = WaitingChange(batch.tenant, batch.batch_id, batch.owner_epoch, waiting)
        await store.set_waiting([change._replace(owner_epoch=2), change._replace(tenant="another")])
        assert (await store.get("default", batch.batch_id)).waiting is None
        until = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        full = Waiting(WaitingReason.HOST_ASKED_TO_WAIT, 3, until, "2 items wait for ü.example")
        await store.set_waiting([change._replace(waiting=full)])
        assert (await store.get("default", batch.batch_id)).waiting == full
        await store.set_waiting([change._replace(waiting=None)])
        assert (await store.get("default", batch.batch_id)).waiting is None


async def test_a_retry_begins_with_nothing_to_wait_for(tmp_path: Path) -> None:
    async with core(tmp_path, lambda one: fail(one, ItemErrorCode.INTERNAL, transient=False)) as made:
        batch = await made.store([item(0)])
        change = WaitingChange(batch.tenant, batch.batch_id, 1, Waiting(WaitingReason.NO_ROOM))
        await made.batch_store.set_waiting([change])
        made.scheduler.reconcile(batch)
        ended = await made.ended(batch)
        assert ended.waiting is not None, "it says nothing of a batch that has ended"
        assert Told(made).here.of(ended) is None
        again, _ = await made.batch_store.retry("default", batch.batch_id, RetryRequest(), datetime.now(UTC))
        assert again.waiting is None
