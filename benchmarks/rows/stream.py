"""A large batch submitted by SubmitBatchStream."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping

from grpc import aio

from benchmarks import work
from benchmarks.bare.client import BareServer, bare_server, peak_bytes
from benchmarks.bare.store import create_tables
from benchmarks.measure import Line, Mark, Report, Round, Scale, Series, interleave
from benchmarks.ours import SUBMIT_STREAM, Ours, serving
from benchmarks.rows.folders import data_folder
from imagebatch.v1 import batch_service_pb2 as pb
from imagebatch.v1 import types_pb2

ROW = "stream"
RATE = "items/s"
MARK = Mark(at_least=0.4)
PEAK = Mark(at_most=1.0)
ALLOWED_MB = 300.0
ITEMS_A_MESSAGE = 1_000


async def measure(scale: Scale, report: Report) -> None:
    items = scale.stream_items
    figure = f"SubmitBatchStream of {items:,} items, SQLite FULL"
    peaks_mb: list[float] = []
    with data_folder() as folder:
        async with serving(folder) as ours, bare_server(folder) as bare:
            url = f"sqlite:///{folder / 'bare.db'}"
            create_tables(url)
            messages = ours.input_messages_in_runs(items, ITEMS_A_MESSAGE)
            found = await interleave(
                {"ours": _ours(ours, messages, items, peaks_mb), "bare": _bare(bare, messages, url, items)},
                min(scale.rounds, 3),
            )
    report.add(
        Line(ROW, figure, RATE, found["ours"][RATE], "bare client stream of the same bytes, and executemany",
             found["bare"][RATE], MARK)
    )  # fmt: skip
    report.add(
        Line(ROW, f"{figure}: the server's peak memory", "MB", Series(peaks_mb), "what it may take",
             Series([ALLOWED_MB]), PEAK)
    )  # fmt: skip


async def _submit(ours: Ours, messages: list[bytes]) -> str:
    submit: aio.StreamUnaryMultiCallable[bytes, types_pb2.BatchSubmissionResult] = ours.channel.stream_unary(
        SUBMIT_STREAM, response_deserializer=types_pb2.BatchSubmissionResult.FromString
    )
    options = pb.SubmitBatchStreamRequest(options=pb.BatchOptions(operation="noop")).SerializeToString()

    async def requests() -> AsyncIterator[bytes]:
        yield options
        for message in messages:
            yield message

    return (await submit(requests())).batch_id


def _ours(ours: Ours, messages: list[bytes], items: int, peaks_mb: list[float]) -> Round:
    async def run() -> Mapping[str, float]:
        started_at = time.perf_counter()
        batch_id = await _submit(ours, messages)
        took_s = time.perf_counter() - started_at
        peaks_mb.append(peak_bytes(ours.process.process.pid) / 1e6)
        status = await ours.client.cancel(batch_id)
        if status.total_items != items:
            raise work.WrongResults(f"the batch has {status.total_items} of {items} items")
        only_failed = pb.WatchBatchRequest(batch_id=batch_id, statuses=[types_pb2.BATCH_ITEM_STATUS_FAILED])
        async for _ in ours.stub.WatchBatch(only_failed):
            pass  # until the batch has ended, so that the next round finds an idle server
        return {RATE: items / took_s}

    return run


def _bare(bare: BareServer, messages: list[bytes], url: str, items: int) -> Round:
    async def run() -> Mapping[str, float]:
        await bare.make_rows(url, items, with_outcomes=False)

        async def requests() -> AsyncIterator[bytes]:
            for message in messages:
                yield message

        started_at = time.perf_counter()
        await bare.submit(requests())
        return {RATE: items / (time.perf_counter() - started_at)}

    return run
