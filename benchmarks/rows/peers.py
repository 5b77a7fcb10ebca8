"""The same no-op items beside what a user would run instead."""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks import work
from benchmarks.measure import Line, Mark, Report, Scale, interleave
from benchmarks.peers import Entrant, Peer, attempted, line_of, running
from benchmarks.peers.entrants import ENTRANTS
from benchmarks.rows.folders import data_folder
from benchmarks.rows.throughput import RATE, STORES, client_round, our_server

ROW = "peers"
MARKS = {"durable": Mark(at_least=5.0), "slow": Mark(at_least=10.0), "memory": Mark(at_least=1.0)}


async def measure(scale: Scale, report: Report) -> None:
    for items in scale.batch_items:
        for entrant in ENTRANTS:
            if items <= entrant.largest_batch:
                await _measure(scale, report, items, entrant)


async def _measure(scale: Scale, report: Report, items: int, entrant: Entrant) -> None:
    peer_items = min(items, entrant.round_items, scale.peer_items)
    figure = f"{items:,} no-op items, {STORES[entrant.store]}; our client, results as dataclasses"
    beside = f"{entrant.name}: {entrant.how}"
    if peer_items < items:
        beside += f" ({peer_items:,} items a round)"
    with line_of(report, ROW, f"{figure}, beside {entrant.name}"):
        async with our_server(entrant.store) as ours:
            with data_folder() as folder:
                async with running(entrant, folder) as peer:
                    found = await interleave(
                        {
                            "ours": lambda: client_round(ours, items),
                            "peer": attempted(lambda: _round(peer, peer_items)),
                        },
                        scale.rounds_of(items),
                    )
        mark = MARKS[entrant.kind]
        report.add(Line(ROW, figure, RATE, found["ours"][RATE], beside, found["peer"][RATE], mark))


async def _round(peer: Peer, items: int) -> Mapping[str, float]:
    started_at = time.perf_counter()
    answers = await peer.batch(items)
    took_s = time.perf_counter() - started_at
    work.check(answers, items)
    return {RATE: items / took_s}
