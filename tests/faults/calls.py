"""Calls of clients that live through anything: repeated until answered, watches resumed where they were cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

import grpc
from grpc import aio
from tests.faults.checker import Counters, Outcome, Watch
from tests.integration.server.calls import is_terminal

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch.v1.batch_service_pb2_grpc import BatchServiceStub
from imagebatch.v1.enums import BATCH_ITEM_STATUS_BY_NUMBER, BATCH_STATUS_BY_NUMBER, ITEM_ERROR_CODE_BY_NUMBER
from imagebatch_client import AsyncBatchClient, ConnectionSettings

if TYPE_CHECKING:
    from imagebatch.v1.batch_service_pb2_grpc import BatchServiceAsyncStub  # which is there for type checkers only

PASSING = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)
"""Codes after which the same call may be made again. Where nothing runs for long, batches pile up to the quota."""

REPEAT_S = 0.3
CALL_TIMEOUT_S = 20.0
PATIENCE_S = 300.0
RECONNECT = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500))
CUT = 0.02
"""How often a watcher by stub drops its stream by itself, for each message."""

R = TypeVar("R")
OnOutcomes = Callable[[int], None]


async def patiently(call: Callable[[], Awaitable[R]]) -> R:
    """Make a call until it is answered. Any error but those of a server that is away is raised."""
    while True:
        try:
            return await call()
        except aio.AioRpcError as error:
            if error.code() not in PASSING:
                raise
        await asyncio.sleep(REPEAT_S)


async def watch_by_client(address: str, batch_id: str, on_outcomes: OnOutcomes) -> Watch:
    """Our own client, which resumes by itself."""
    seen: list[Outcome] = []
    async with (
        AsyncBatchClient(ConnectionSettings(address, timeout_s=PATIENCE_S, reconnect_for_s=PATIENCE_S)) as client,
        aclosing(client.watch(batch_id)) as results,
    ):
        async for result in results:
            seen.append(
                Outcome(result.item_index, result.item_id, result.sequence or 0, result.status, result.error_code)
            )
            on_outcomes(1)
    return Watch("client", seen, len(seen))


async def watch_by_stub(address: str, batch_id: str, on_outcomes: OnOutcomes, chance: random.Random) -> Watch:
    """Do what the contract tells a stranger to: watch again from the last sequence until a terminal status comes."""
    seen: list[Outcome] = []
    position = 0
    async with aio.insecure_channel(address, RECONNECT) as channel:
        stub = BatchServiceStub(channel)
        while True:
            request = batch_service_pb2.WatchBatchRequest(batch_id=batch_id, after_sequence=position)
            stream = stub.WatchBatch(request, wait_for_ready=True)
            try:
                async for message in stream:
                    seen += [outcome(result) for result in message.results]
                    position = message.sequence
                    on_outcomes(len(message.results))
                    if message.HasField("status") and is_terminal(message.status):
                        return Watch("stub", seen, await _count_to_end(stream, seen))
                    if chance.random() < CUT:
                        stream.cancel()
                        break
            except aio.AioRpcError as error:
                if error.code() not in PASSING:
                    raise


async def _count_to_end(
    stream: aio.UnaryStreamCall[batch_service_pb2.WatchBatchRequest, batch_service_pb2.WatchBatchResponse],
    seen: list[Outcome],
) -> int:
    """How many outcomes had come at the end; whatever comes after it is seen, too."""
    ended_after = len(seen)
    async for message in stream:
        seen += [outcome(result) for result in message.results]
    return ended_after


async def pages(stub: BatchServiceAsyncStub, batch_id: str) -> Sequence[Outcome]:
    """All items, page by page."""
    found: list[Outcome] = []
    while True:
        request = batch_service_pb2.GetBatchResultsRequest(batch_id=batch_id, offset=len(found), limit=1_000)
        page = await patiently(lambda: stub.GetBatchResults(request, timeout=CALL_TIMEOUT_S))  # noqa: B023 - awaited
        found += [outcome(result) for result in page.results]
        if not page.pagination.has_more:
            return found


def outcome(result: types_pb2.BatchItemResult) -> Outcome:
    """Turn an item into what the checker takes."""
    return Outcome(
        result.item_index,
        result.item_id,
        result.sequence if result.HasField("sequence") else 0,
        BATCH_ITEM_STATUS_BY_NUMBER[result.status],
        ITEM_ERROR_CODE_BY_NUMBER[result.error_code] if result.error_code else None,
    )


def counters(status: types_pb2.BatchStatusResult) -> Counters:
    """Turn a batch's figures into what the checker takes."""
    return Counters(
        BATCH_STATUS_BY_NUMBER[status.status],
        status.total_items,
        status.processed_items,
        status.successful_items,
        status.failed_items,
        status.skipped_items,
        dict(status.failure_counts),
    )
