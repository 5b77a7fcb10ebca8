"""What an item, and a server that has nothing to do, cost PostgreSQL: `python -m benchmarks.scale.database_costs`."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from tests.object_servers import SeaweedServer
from tests.postgres import ROLE, PostgresServer, own_server

from benchmarks import operations, work
from benchmarks.ours import answers_of, serving

ITEMS = 10_000
IDLE_S = 20.0
SERVERS = (1, 3)


@dataclass(frozen=True)
class Reading:
    """PostgreSQL's counters at one time."""

    wal_bytes: int
    commits: int
    processor_s: float
    size_bytes: int
    at_s: float


def read(server: PostgresServer, url: str) -> Reading:
    """Read the counters of a database of the server, and the processor time of all of its processes."""
    name = url.partition("@/")[2].partition("?")[0]
    with psycopg.connect(host=str(server.folder), user=ROLE, dbname=name, autocommit=True) as connection:
        row = connection.execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'), xact_commit, pg_database_size(datname) "
            "FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    if row is None:
        raise LookupError(f"PostgreSQL knows nothing of {name}")
    first = psutil.Process(int((server.folder / "data" / "postmaster.pid").read_text().split()[0]))
    own = first.cpu_times()
    processor_s = own.user + own.system + own.children_user + own.children_system  # of those that have ended, too
    for process in first.children():
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            processor_s += times.user + times.system
    return Reading(int(row[0]), int(row[1]), processor_s, int(row[2]), time.monotonic())


async def measure(folder: Path, count: int) -> None:
    """Let servers idle, then have each run a batch of no-op items; tell what that took."""
    with own_server() as postgres:
        url = postgres.create_database()
        async with AsyncExitStack() as opened:
            bucket = SeaweedServer(_made(folder / f"bucket-{count}"))
            opened.callback(bucket.kill)
            bucket.start()
            os.environ.update(bucket.environment)
            settings = {"object_store_url": bucket.url("images")}
            fleet = [
                await opened.enter_async_context(
                    serving(_made(folder / f"{count}-{number}"), database_url=url, workers=1, settings=settings)
                )
                for number in range(count)
            ]
            await asyncio.sleep(5)
            before = read(postgres, url)
            await asyncio.sleep(IDLE_S)
            after = read(postgres, url)
            took_s = after.at_s - before.at_s
            print(
                f"{count} idle servers: {(after.commits - before.commits) / took_s:.1f} commits/s, "
                f"{(after.wal_bytes - before.wal_bytes) / took_s / 1000:.2f} kB/s of WAL, "
                f"{(after.processor_s - before.processor_s) / took_s * 1000:.1f} ms/s of PostgreSQL's processor time",
                flush=True,
            )
            for _ in range(2):
                before = read(postgres, url)
                batch_id = await fleet[0].submit_messages(ITEMS, operations.Noop.name)
                submitted = read(postgres, url)
                found = [each async for message in fleet[0].watch_messages(batch_id) for each in answers_of(message)]
                work.check(found, ITEMS)
                after = read(postgres, url)
                print(
                    f"  an item: submitted {(submitted.wal_bytes - before.wal_bytes) / ITEMS:.0f} and in all "
                    f"{(after.wal_bytes - before.wal_bytes) / ITEMS:.0f} bytes of WAL, "
                    f"{(after.size_bytes - before.size_bytes) / ITEMS:.0f} bytes of tables and indexes, "
                    f"{(after.processor_s - before.processor_s) / ITEMS * 1e6:.1f} us of PostgreSQL's processor time; "
                    f"{after.commits - before.commits} commits; {ITEMS / (after.at_s - before.at_s):.0f} items/s",
                    flush=True,
                )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def main() -> None:
    """Measure with one server, and with several."""
    with tempfile.TemporaryDirectory() as name:
        for count in SERVERS:
            asyncio.run(measure(Path(name), count))


if __name__ == "__main__":
    main()
