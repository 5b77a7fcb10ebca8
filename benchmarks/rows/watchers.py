"""Many watchers on one batch: deliveries a second and what they cost the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack

from grpc import aio

from benchmarks import work
from benchmarks.bare.client import BareServer, bare_server
from benchmarks.measure import Line, Mark, Report, Round, Scale, interleave
from benchmarks.ours import WATCH, Ours, answers_of, byte_stream, serving
from benchmarks.rows.folders import data_folder
from imagebatch.v1 import batch_service_pb2 as pb

ROW = "watchers"
RATE, CPU = "deliveries/s", "us of server CPU a delivery"
MARK = Mark(at_least=0.5)
READ_WHOLE = 4
"""Watchers whose messages are kept and checked item by item; of the others the bytes are counted."""


class _Counts:
    """What one watcher received: its messages as bytes, or how many bytes they were."""

    def __init__(self, *, keeps: bool) -> None:
        self.size_bytes = 0
        self.messages: list[bytes] | None = [] if keeps else None

    def add(self, data: bytes) -> None:
        self.size_bytes += len(data)
        if self.messages is not None:
            self.messages.append(data)


async def measure(scale: Scale, report: Report) -> None:
    with data_folder() as folder:
        async with AsyncExitStack() as opened:
            ours = await opened.enter_async_context(serving(folder))
            bare = await opened.enter_async_context(bare_server(folder))
            batch_id = await ours.submit_messages(scale.watched_items)
            # What is sent live depends on how many watch: what one alone is sent would be more and smaller messages.
            lived = await _sent(ours, scale, batch_id)
            replayed = await _sent(ours, scale, batch_id)
            found = await interleave(
                {
                    "live": _live(ours, scale),
                    "live, bare": _broadcast(bare, scale, lived),
                    "replay": _replay(ours, batch_id, scale),
                    "replay, bare": _broadcast(bare, scale, replayed),
                },
                scale.rounds,
            )
    what = f"{scale.watchers} watchers on one batch of {scale.watched_items:,} items"
    for name, how, sent in (("live", "while it runs", lived), ("replay", "finished", replayed)):
        beside, other = f"bare grpc.aio broadcast of the same {len(sent):,} serialised messages", found[f"{name}, bare"]
        report.add(Line(ROW, f"{what}, {how}", RATE, found[name][RATE], beside, other[RATE], MARK))
        report.add(Line(ROW, f"{what}, {how}", CPU, found[name][CPU], beside, other[CPU]))


def _live(ours: Ours, scale: Scale) -> Round:
    async def run() -> Mapping[str, float]:
        batch_id = await ours.submit_messages(scale.watched_items)
        return await _rates(byte_stream(ours.channel, WATCH), _request(batch_id), scale, ours)

    return run


def _replay(ours: Ours, batch_id: str, scale: Scale) -> Round:
    async def run() -> Mapping[str, float]:
        return await _rates(byte_stream(ours.channel, WATCH), _request(batch_id), scale, ours)

    return run


def _broadcast(bare: BareServer, scale: Scale, sent: list[bytes]) -> Round:
    async def run() -> Mapping[str, float]:
        await bare.load(sent)
        return await _rates(bare.replay, b"", scale, bare)

    return run


def _request(batch_id: str) -> bytes:
    return pb.WatchBatchRequest(batch_id=batch_id).SerializeToString()


async def _sent(ours: Ours, scale: Scale, batch_id: str) -> list[bytes]:
    """Count what one of all the watchers is sent."""
    counts = await _deliver(byte_stream(ours.channel, WATCH), _request(batch_id), scale)
    return counts[0].messages or []


async def _rates(
    method: aio.UnaryStreamMultiCallable[bytes, bytes], request: bytes, scale: Scale, server: Ours | BareServer
) -> Mapping[str, float]:
    cpu_s, started_at = server.cpu_s(), time.perf_counter()
    counts = await _deliver(method, request, scale)
    took_s, cpu_s = time.perf_counter() - started_at, server.cpu_s() - cpu_s
    _check(counts, scale.watched_items)
    deliveries = scale.watchers * scale.watched_items
    return {RATE: deliveries / took_s, CPU: cpu_s / deliveries * 1e6}


async def _deliver(method: aio.UnaryStreamMultiCallable[bytes, bytes], request: bytes, scale: Scale) -> list[_Counts]:
    counts = [_Counts(keeps=number < READ_WHOLE) for number in range(scale.watchers)]

    async def watch(count: _Counts) -> None:
        async for data in method(request):
            count.add(data)

    await asyncio.gather(*(watch(count) for count in counts))
    return counts


def _check(counts: list[_Counts], items: int) -> None:
    results_bytes = 0
    for count in counts:
        if count.messages is not None:
            messages = [pb.WatchBatchResponse.FromString(data) for data in count.messages]
            work.check([answer for message in messages for answer in answers_of(message)], items)
            results_bytes = sum(result.ByteSize() for message in messages for result in message.results)
        elif count.size_bytes < results_bytes:
            raise work.WrongResults(
                f"a watcher received {count.size_bytes} bytes, less than the results' {results_bytes}"
            )
