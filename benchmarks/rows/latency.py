"""One item on an idle server: from the submit to its result in hand."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from benchmarks import work
from benchmarks.bare import rows
from benchmarks.bare.client import bare_server
from benchmarks.measure import Line, Mark, Report, Scale, interleave, percentile
from benchmarks.ours import Ours, answers_of
from benchmarks.peers import Entrant, attempted, line_of, running
from benchmarks.peers.entrants import ENTRANTS
from benchmarks.rows.folders import data_folder
from benchmarks.rows.throughput import STORES, our_server

ROW = "latency"
P50, P99 = "p50", "p99"
MARK = Mark(at_most=1.0)

One = Callable[[int], Awaitable[Mapping[str, object]]]


async def measure(scale: Scale, report: Report) -> None:
    for store in STORES:
        await _beside_a_bare_call(scale, report, store)
    for entrant in ENTRANTS:
        await _beside_a_peer(scale, report, entrant)


async def _beside_a_peer(scale: Scale, report: Report, entrant: Entrant) -> None:
    figure = f"one item, {STORES[entrant.store]}; our client"
    mark = MARK if entrant.kind == "durable" else None
    with line_of(report, ROW, f"{figure}, beside {entrant.name}"):
        async with our_server(entrant.store) as ours:
            with data_folder() as folder:
                async with running(entrant, folder) as peer:
                    found = await interleave(
                        {
                            "ours": lambda: _round(scale.singles, _by_client(ours)),
                            "peer": attempted(lambda: _round(scale.singles, peer.one)),
                        },
                        scale.rounds,
                    )
        for share in (P50, P99):
            both = found["ours"][share], entrant.name, found["peer"][share]
            report.add(Line(ROW, f"{figure}, {share}", "ms", *both, mark))


async def _beside_a_bare_call(scale: Scale, report: Report, store: str) -> None:
    with line_of(report, ROW, f"one item, {STORES[store]}"):
        async with our_server(store) as ours:
            with data_folder() as folder:
                async with bare_server(folder) as bare:
                    await bare.load(rows.result_messages(rows.new_batch_id(), 1, 1))

                    async def call(index: int) -> Mapping[str, object]:
                        await bare.unary(b"")
                        return work.answer(work.metadata_of(index))

                    found = await interleave(
                        {
                            "client": lambda: _round(scale.singles, _by_client(ours)),
                            "stubs": lambda: _round(scale.singles, _by_stubs(ours)),
                            "bare": lambda: _round(scale.singles, call),
                        },
                        scale.rounds,
                    )
        for by, name in (("client", "our client"), ("stubs", "bare stubs")):
            for share in (P50, P99):
                report.add(
                    Line(ROW, f"one item, {STORES[store]}; {name}, {share}", "ms", found[by][share],
                         "a bare unary call of the same bytes", found["bare"][share])
                )  # fmt: skip


def _by_client(ours: Ours) -> One:
    async def one(index: int) -> Mapping[str, object]:
        batch = await ours.client.submit("noop", ours.inputs(1, index))
        async for result in ours.client.watch(batch.batch_id):
            return result.output_data or {}
        raise work.WrongResults(f"item {index} has no result")

    return one


def _by_stubs(ours: Ours) -> One:
    async def one(index: int) -> Mapping[str, object]:
        batch_id = await ours.submit_messages(1)
        async for message in ours.watch_messages(batch_id):
            for answer in answers_of(message):
                return {**answer, "index": index}
        raise work.WrongResults(f"item {index} has no result")

    return one


async def _round(singles: int, one: One) -> Mapping[str, float]:
    times_ms = []
    for index in range(singles):
        started_at = time.perf_counter()
        answer = await one(index)
        times_ms.append((time.perf_counter() - started_at) * 1e3)
        if answer["index"] != index:
            raise work.WrongResults(f"item {index} came back as {answer['index']}")
    return {P50: percentile(times_ms, 0.5), P99: percentile(times_ms, 0.99)}
