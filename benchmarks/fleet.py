"""Several of our servers on one PostgreSQL and one bucket."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from tests.object_servers import SeaweedServer
from tests.server import ServerProcess

from benchmarks.ours import Ours, serving
from benchmarks.postgres import running_postgres
from benchmarks.rows.folders import data_folder


@asynccontextmanager
async def several_servers(
    count: int, *, warm: str, kind: type[ServerProcess] = ServerProcess
) -> AsyncIterator[list[Ours]]:
    """Run servers that share everything, with a worker each. Raises Missing without PostgreSQL."""
    async with AsyncExitStack() as opened:
        folder = opened.enter_context(data_folder())
        database_url = opened.enter_context(running_postgres())()
        settings = {"object_store_url": opened.enter_context(_bucket(folder))}
        servers = []
        for number in range(count):
            own = folder / str(number)
            own.mkdir()
            serves = serving(own, database_url=database_url, workers=1, warm=warm, kind=kind, settings=settings)
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
