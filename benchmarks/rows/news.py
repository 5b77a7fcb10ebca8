"""How long after its commit an outcome reaches a watcher through another server, beside one on the batch's owner.

Two servers on one PostgreSQL and one bucket; each batch is watched through both at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from benchmarks import operations
from benchmarks.fleet import several_servers
from benchmarks.measure import Line, Report, Round, Scale, Skipped, interleave
from benchmarks.ours import Ours
from benchmarks.peers import Missing
from benchmarks.rows.delay import P50, P99, delays_s, percentiles, stamped, watched
from benchmarks.stamped_server import StampedServer

ROW = "news"
OWNER, OTHER = "owner", "other"


async def measure(scale: Scale, report: Report) -> None:
    figure = "commit to watcher at 100 items/s, through another server, PostgreSQL"
    try:
        async with several_servers(2, warm=operations.Paced.name, kind=StampedServer) as servers:
            found = await interleave({"both": _both(servers, scale.paced_items)}, scale.rounds)
    except Missing as error:
        report.add(Skipped(ROW, figure, str(error)))
        return
    for share in (P50, P99):
        report.add(
            Line(ROW, f"{figure}, {share}", "ms", found["both"][f"{OTHER} {share}"],
                 "the same batch watched through its owner", found["both"][f"{OWNER} {share}"])
        )  # fmt: skip


def _both(servers: list[Ours], items: int) -> Round:
    async def run() -> Mapping[str, float]:
        batch_id = await servers[0].submit_messages(items, operations.Paced.name)
        received = await asyncio.gather(*(watched(ours, batch_id, items) for ours in servers))
        commits = [stamped(ours).committed_at(batch_id) for ours in servers]
        (owner,) = [number for number, committed_at in enumerate(commits) if committed_at]
        figures = {}
        for number, messages in enumerate(received):
            place = OWNER if number == owner else OTHER
            shares = percentiles(delays_s(messages, commits[owner]))
            figures.update({f"{place} {share}": value for share, value in shares.items()})
        return figures

    return run
