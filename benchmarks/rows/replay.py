"""A finished batch read whole by WatchBatch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from benchmarks import work
from benchmarks.bare.client import BareServer, bare_server
from benchmarks.measure import Line, Mark, Report, Round, Scale, interleave
from benchmarks.ours import Ours, answers_of
from benchmarks.rows.finished import serving_finished
from benchmarks.rows.folders import data_folder
from imagebatch.v1 import batch_service_pb2 as pb
from imagebatch_client import convert

ROW = "replay"
RATE = "items/s"
MARK = Mark(at_least=0.5)


async def measure(scale: Scale, report: Report) -> None:
    items = scale.replay_items
    with data_folder() as folder:
        async with serving_finished(folder, items) as (ours, batch_id), bare_server(folder) as bare:
            sent = [message.SerializeToString() async for message in ours.watch_messages(batch_id)]
            await bare.load(sent)
            found = await interleave(
                {
                    "stubs": _stubs(ours, batch_id, items),
                    "client": _client(ours, batch_id, items),
                    "bare": _bare(bare, items, converted=False),
                    "bare, converted": _bare(bare, items, converted=True),
                },
                scale.rounds,
            )
    figure = f"replay of {items:,} items by WatchBatch, SQLite"
    beside = f"bare grpc.aio stream of the same {len(sent):,} messages"
    report.add(
        Line(ROW, f"{figure}; bare stubs, parsed", RATE, found["stubs"][RATE], beside, found["bare"][RATE], MARK)
    )
    report.add(
        Line(ROW, f"{figure}; our client, dataclasses", RATE, found["client"][RATE], f"{beside}, converted alike",
             found["bare, converted"][RATE])
    )  # fmt: skip


def _stubs(ours: Ours, batch_id: str, items: int) -> Round:
    async def run() -> Mapping[str, float]:
        started_at = time.perf_counter()
        messages = [message async for message in ours.watch_messages(batch_id)]
        return _checked(messages, items, time.perf_counter() - started_at)

    return run


def _client(ours: Ours, batch_id: str, items: int) -> Round:
    async def run() -> Mapping[str, float]:
        started_at = time.perf_counter()
        results = [result async for result in ours.client.watch(batch_id)]
        took_s = time.perf_counter() - started_at
        work.check([result.output_data or {} for result in results], items)
        return {RATE: items / took_s}

    return run


def _bare(bare: BareServer, items: int, *, converted: bool) -> Round:
    async def run() -> Mapping[str, float]:
        started_at = time.perf_counter()
        parsed: list[Any] = []
        async for data in bare.replay(b""):
            message = pb.WatchBatchResponse.FromString(data)
            parsed.append(convert.watch_update(message) if converted else message)
        took_s = time.perf_counter() - started_at
        if not converted:
            return _checked(parsed, items, took_s)
        work.check([result.output_data for update in parsed for result in update.results], items)
        return {RATE: items / took_s}

    return run


def _checked(messages: list[pb.WatchBatchResponse], items: int, took_s: float) -> Mapping[str, float]:
    work.check([answer for message in messages for answer in answers_of(message)], items)
    return {RATE: items / took_s}
