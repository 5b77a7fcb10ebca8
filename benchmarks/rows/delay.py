"""How long after its commit an outcome reaches a watcher, at 100 items a second.

A busy batch's outcomes are committed `recorder.PACE_S` apart, so ten together; the bare stream sends as many at a time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks import operations, work
from benchmarks.bare import rows
from benchmarks.bare.client import BareServer, bare_server
from benchmarks.measure import Line, Mark, Report, Round, Scale, interleave, percentile
from benchmarks.ours import WATCH, Ours, answers_of, byte_stream, serving
from benchmarks.rows.folders import data_folder
from benchmarks.stamped_server import StampedServer
from imagebatch.v1 import batch_service_pb2 as pb
from imagebatch_server.batches import recorder

ROW = "delay"
P50, P99 = "p50", "p99"
MARKS = {P50: Mark(at_most=2.0), P99: Mark(at_most=3.0)}
STAMP_BYTES = 24
Received = tuple[float, pb.WatchBatchResponse]
"""When a message came, and the message."""

OUTCOMES_A_COMMIT = round(recorder.PACE_S / operations.PACE_S)


async def measure(scale: Scale, report: Report) -> None:
    with data_folder() as folder:
        async with (
            serving(folder, workers=1, warm=operations.Paced.name, kind=StampedServer) as ours,
            bare_server(folder) as bare,
        ):
            await bare.load(rows.result_messages(rows.new_batch_id(), OUTCOMES_A_COMMIT, OUTCOMES_A_COMMIT))
            found = await interleave(
                {"ours": _ours(ours, scale.paced_items), "bare": _bare(bare, scale.paced_items)}, scale.rounds
            )
    beside = f"bare grpc.aio stream of messages of {OUTCOMES_A_COMMIT} outcomes at 10/s"
    for share, mark in MARKS.items():
        report.add(
            Line(ROW, f"commit to watcher at 100 items/s, SQLite FULL, {share}", "ms", found["ours"][share],
                 beside, found["bare"][share], mark)
        )  # fmt: skip


def _ours(ours: Ours, items: int) -> Round:
    async def run() -> Mapping[str, float]:
        batch_id = await ours.submit_messages(items, operations.Paced.name)
        received = await watched(ours, batch_id, items)
        return percentiles(delays_s(received, stamped(ours).committed_at(batch_id)))

    return run


async def watched(ours: Ours, batch_id: str, items: int) -> list[Received]:
    """Watch a batch to its end; answers its messages and when they came, once they are found to be right."""
    request = pb.WatchBatchRequest(batch_id=batch_id).SerializeToString()
    received = [(time.monotonic(), data) async for data in byte_stream(ours.channel, WATCH)(request)]
    messages = [(at, pb.WatchBatchResponse.FromString(data)) for at, data in received]
    work.check([answer for _, message in messages for answer in answers_of(message)], items)
    return messages


def stamped(ours: Ours) -> StampedServer:
    """Answer the server's process, which notes its commits."""
    if not isinstance(ours.process, StampedServer):
        raise TypeError("the server does not note its commits")
    return ours.process


def delays_s(received: list[Received], committed_at: Mapping[int, float]) -> list[float]:
    """Tell for each outcome how long after its commit it came, if that was after the watch began."""
    first_watched_at = received[0][0]
    return [
        at - committed_at[result.sequence]
        for at, message in received
        for result in message.results
        if committed_at[result.sequence] > first_watched_at
    ]


def _bare(bare: BareServer, items: int) -> Round:
    messages = items // OUTCOMES_A_COMMIT

    async def run() -> Mapping[str, float]:
        delays_s = []
        async for data in bare.paced(f"{messages} {recorder.PACE_S}".encode()):
            at = time.monotonic()
            delays_s.append(at - float(data[:STAMP_BYTES]))
        if len(delays_s) != messages:
            raise work.WrongResults(f"{len(delays_s)} of {messages} messages came")
        return percentiles(delays_s)

    return run


def percentiles(delays_s: list[float]) -> Mapping[str, float]:
    """Milliseconds, at the median and at the 99th percentile."""
    return {P50: percentile(delays_s, 0.5) * 1e3, P99: percentile(delays_s, 0.99) * 1e3}
