"""What traces cost: the server's processor time an item, with traces off, of no item, and of each."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack

from tests.otlp import collecting

from benchmarks import work
from benchmarks.measure import Line, Mark, Report, Round, Scale, interleave
from benchmarks.ours import UNARY_ITEMS, Ours, answers_of, serving
from benchmarks.rows.folders import data_folder
from imagebatch.v1 import batch_service_pb2 as pb

ROW = "tracing"
AN_ITEM = "µs an item"
OFF, NONE, ALL = "off", "none", "all"
UNSAMPLED_MARK = Mark(at_most=1.05)


async def measure(scale: Scale, report: Report) -> None:
    items = min(scale.batch_items[0], UNARY_ITEMS)
    async with AsyncExitStack() as opened:
        collector = opened.enter_context(collecting())
        traced = {"otlp_endpoint": collector.url, "trace_ratio": "0"}
        settings: dict[str, Mapping[str, str]] = {
            OFF: {},
            NONE: {**traced, "trace_item_ratio": "0"},
            ALL: {**traced, "trace_item_ratio": "1"},
        }
        rounds: dict[str, Round] = {}
        for name, chosen in settings.items():
            folder = opened.enter_context(data_folder())
            rounds[name] = _round(await opened.enter_async_context(serving(folder, settings=chosen)), items)
        found = await interleave(rounds, scale.rounds)
    for name, figure, mark in (
        (NONE, f"a batch of {items:,} in a sampled trace, none of its items sampled", UNSAMPLED_MARK),
        (ALL, f"a batch of {items:,} in a sampled trace, each of its items sampled", None),
    ):
        report.add(Line(ROW, figure, AN_ITEM, found[name][AN_ITEM], "with traces off", found[OFF][AN_ITEM], mark))


def _round(ours: Ours, items: int) -> Round:
    async def run() -> Mapping[str, float]:
        request = pb.SubmitBatchRequest(options=pb.BatchOptions(operation="noop"), items=ours.input_messages(items))
        traceparent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
        before_s = ours.cpu_s()
        submitted = await ours.stub.SubmitBatch(request, metadata=(("traceparent", traceparent),))
        messages = [message async for message in ours.watch_messages(submitted.batch_id)]
        took_s = ours.cpu_s() - before_s
        work.check([answer for message in messages for answer in answers_of(message)], items)
        return {AN_ITEM: took_s / items * 1e6}

    return run
