"""How long after its commit an outcome reaches a watcher through another server, beside one on the batch's owner.

Two servers on one PostgreSQL and one bucket; each batch is watched through both at the same time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from tests.object_servers import SeaweedServer

from benchmarks import operations
from benchmarks.measure import Line, Report, Round, Scale, Skipped, interleave
from benchmarks.ours import Ours, serving
from benchmarks.peers import Missing
from benchmarks.postgres import running_postgres
from benchmarks.rows.delay import P50, P99, delays_s, percentiles, stamped, watched
from benchmarks.rows.folders import data_folder
from benchmarks.stamped_server import StampedServer

ROW = "news"
OWNER, OTHER = "owner", "other"


async def measure(scale: Scale, report: Report) -> None:
    figure = "commit to watcher at 100 items/s, through another server, PostgreSQL"
    try:
        async with two_servers() as servers:
            found = await interleave({"both": _both(servers, scale.paced_items)}, scale.rounds)
    except Missing as error:
        report.add(Skipped(ROW, figure, str(error)))
        return
    for share in (P50, P99):
        report.add(
            Line(ROW, f"{figure}, {share}", "ms", found["both"][f"{OTHER} {share}"],
                 "the same batch watched through its owner", found["both"][f"{OWNER} {share}"])
        )  # fmt: skip


@asynccontextmanager
async def two_servers() -> AsyncIterator[list[Ours]]:
    """Run two servers that share everything. Raises Missing without PostgreSQL."""
    async with AsyncExitStack() as opened:
        folder = opened.enter_context(data_folder())
        database_url = opened.enter_context(running_postgres())()
        settings = {"object_store_url": opened.enter_context(_bucket(folder))}
        servers = []
        for number in range(2):
            own = folder / str(number)
            own.mkdir()
            serves = serving(
                own,
                database_url=database_url,
                workers=1,
                warm=operations.Paced.name,
                kind=StampedServer,
                settings=settings,
            )
            servers.append(await opened.enter_async_context(serves))
        yield servers


@contextmanager
def _bucket(folder: Path) -> Iterator[str]:
    """Run SeaweedFS, and let servers that are started find it; answers the URL of a prefix."""
    own = folder / "bucket"
    own.mkdir()
    bucket = SeaweedServer(own)
    bucket.start()
    before = dict(os.environ)
    os.environ.update(bucket.environment)
    try:
        yield bucket.url("images")
    finally:
        os.environ.clear()
        os.environ.update(before)
        bucket.kill()


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
