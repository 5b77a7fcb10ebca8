"""Trouble with what three servers share: PostgreSQL, the pooler before it, the bucket, the time of day.

Batches run and are watched at all three meanwhile, and in the end nothing may be lost, doubled, reordered or counted
wrongly, whichever server told of it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from tests.conftest import faketime_library
from tests.faults.conftest import Tell
from tests.faults.fleet import BLOWS, fleet, moves, postgres, seaweed, shared_store
from tests.faults.proxy import proxied
from tests.faults.stores import Store
from tests.faults.trouble import live_through
from tests.object_servers import SeaweedServer
from tests.postgres import PostgresServer, pooled
from tests.postgres_pair import postgres_pair
from tests.server import free_port

__all__ = ["postgres", "seaweed", "shared_store"]

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(3 * 60 * 60)]

ROUNDS = 3
SERVERS = 3
QUICK = ("quick", "slow", "failing", "repeating")
"""Batches that kill no workers, which a busy machine takes seconds to replace."""

GONE_S = 10.0
LONGEST_GONE_S = 60.0
"""`make soak` has the bucket away for a minute."""

STOP_GRACE_S = "5"

APART_S = (3_600, 0, -3_600)
"""What the servers' clocks of the day say, beside PostgreSQL's. The oldest server clears away, and is ahead."""

RETENTION_S = 1_200
"""Less than the clocks are apart."""

ASTRAY = timedelta(minutes=10)
"""So far no time is from PostgreSQL's clock that is by it."""


@pytest.fixture
def chance(seed: int) -> random.Random:
    return random.Random(seed)


@pytest.fixture
def rounds(scale: float) -> int:
    return round(ROUNDS * scale)


def draw(chance: random.Random, sorts: Sequence[str], rounds: int, tell: Tell) -> Sequence[str]:
    """Plan so many rounds, as many of each sort, in any order."""
    plan = [sorts[number % len(sorts)] for number in range(rounds)]
    chance.shuffle(plan)
    tell(", ".join(f"{number} times {sort}" for sort, number in sorted(Counter(plan).items())))
    return plan


def test_postgres_is_restarted(
    postgres: PostgresServer,
    shared_store: Store,
    tmp_path: Path,
    seed: int,
    chance: random.Random,
    rounds: int,
    tell: Tell,
) -> None:
    stops: dict[str, Callable[[], None]] = {
        "stopped in good order": postgres.stop, "stopped as by a crash": postgres.stop_immediate,
    }  # fmt: skip

    async def restarted(sort: str) -> None:
        await asyncio.to_thread(stops[sort])
        await asyncio.to_thread(postgres.start)

    plan = draw(chance, list(stops), rounds, tell)
    with fleet(shared_store, tmp_path, stop_grace_s=STOP_GRACE_S) as made:
        servers = [made.add() for _ in range(SERVERS)]
        live_through(
            [partial(restarted, sort) for sort in plan], servers, shared_store, tmp_path, seed, tell, kinds=QUICK
        )
        tell(moves(servers))


@pytest.mark.pgbouncer
def test_pgbouncer_stands_between(
    postgres: PostgresServer,
    shared_store: Store,
    tmp_path: Path,
    seed: int,
    chance: random.Random,
    rounds: int,
    tell: Tell,
) -> None:
    port = free_port()
    plan = draw(chance, ["PgBouncer killed", "PostgreSQL restarted", "a server killed"], rounds, tell)
    with ExitStack() as pooler, fleet(shared_store, tmp_path, stop_grace_s=STOP_GRACE_S) as made:
        pooled_url = pooler.enter_context(pooled(postgres, shared_store.url, port))
        urls = {"database_url": pooled_url, "database_direct_url": shared_store.url}
        servers = [made.add(**urls) for _ in range(SERVERS)]

        async def pooler_killed() -> None:
            pooler.close()
            await asyncio.to_thread(pooler.enter_context, pooled(postgres, shared_store.url, port))

        async def postgres_restarted() -> None:
            await asyncio.to_thread(postgres.stop)
            await asyncio.to_thread(postgres.start)

        async def server_killed() -> None:
            server = chance.choice(servers)
            server.kill()
            await asyncio.to_thread(server.start)

        troubles = {
            "PgBouncer killed": pooler_killed,
            "PostgreSQL restarted": postgres_restarted,
            "a server killed": server_killed,
        }
        live_through([troubles[sort] for sort in plan], servers, shared_store, tmp_path, seed, tell, kinds=QUICK)
        tell(moves(servers))


def test_postgres_fails_over_to_a_synchronous_standby(
    seaweed: SeaweedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, rounds: int, tell: Tell
) -> None:
    """Two of the servers have the addresses of both, the third has one that leads to the primary."""
    for name, value in seaweed.environment.items():
        monkeypatch.setenv(name, value)
    with postgres_pair() as pair:
        url = pair.create_database()
        store = Store("postgres", tmp_path, url, pair.primary, seaweed.url(tmp_path.name))
        with (
            proxied(pair.primary, url) as (proxy, proxied_url),
            fleet(store, tmp_path, stop_grace_s=STOP_GRACE_S) as made,
        ):
            servers = [made.add(database_url=url) for url in (url, url, proxied_url)]

            async def failed_over() -> None:
                await asyncio.to_thread(pair.fail_over)
                proxy.target = pair.primary.socket

            async def lived_through() -> None:
                await failed_over()
                await asyncio.to_thread(pair.mend)

            tell(f"{rounds} times the primary was killed, and the standby promoted")
            live_through([lived_through] * rounds, servers, store, tmp_path, seed, tell, kinds=QUICK)
            tell(moves(servers))


def test_the_bucket_is_away(
    seaweed: SeaweedServer,
    shared_store: Store,
    tmp_path: Path,
    seed: int,
    chance: random.Random,
    rounds: int,
    scale: float,
    tell: Tell,
) -> None:
    gone_s = min(GONE_S * scale, LONGEST_GONE_S)

    async def away(sort: str) -> None:
        seaweed.kill() if sort == "killed" else seaweed.freeze()
        await asyncio.sleep(gone_s)
        await asyncio.to_thread(seaweed.start) if sort == "killed" else seaweed.thaw()

    plan = draw(chance, ["killed", "frozen"], rounds, tell)
    tell(f"for {gone_s:g} s each time")
    with fleet(shared_store, tmp_path, stop_grace_s=STOP_GRACE_S) as made:
        servers = [made.add() for _ in range(SERVERS)]
        live_through([partial(away, sort) for sort in plan], servers, shared_store, tmp_path, seed, tell, kinds=QUICK)
        tell(moves(servers))


@pytest.mark.faketime
def test_clocks_are_an_hour_apart(
    postgres: PostgresServer,
    seaweed: SeaweedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    chance: random.Random,
    rounds: int,
    tell: Tell,
) -> None:
    """What is signed by a clock an hour wrong no bucket takes, so that nothing is signed here.

    Servers are not stopped in good order, which takes `time.sleep`: Python's fails under libfaketime.
    """
    for name, value in {**seaweed.environment, "AWS_SKIP_SIGNATURE": "true"}.items():
        monkeypatch.setenv(name, value)
    store = Store("postgres", tmp_path, postgres.create_database(), postgres, f"s3://open/{tmp_path.name}")
    clock = ("env", f"LD_PRELOAD={faketime_library()}", "FAKETIME_DONT_FAKE_MONOTONIC=1")
    plan = draw(chance, ["killed", "frozen"], rounds, tell)
    began = datetime.now(UTC)
    with fleet(store, tmp_path, stop_grace_s=STOP_GRACE_S, retention_s=str(RETENTION_S)) as made:
        servers = [made.add(within=(*clock, f"FAKETIME={apart_s:+}")) for apart_s in APART_S]
        troubles = [partial(BLOWS[sort], chance.choice(servers)) for sort in plan]
        live_through(troubles, servers, store, tmp_path, seed, tell, kinds=QUICK)
        tell(moves(servers))
        earliest, latest = store.look(stamps)
        assert began - ASTRAY < earliest
        assert latest < datetime.now(UTC) + ASTRAY


def stamps(connection: Connection) -> tuple[datetime, datetime]:
    """Find the first and the last time that batches were stamped with."""
    earliest, latest = connection.execute(text(_STAMPS)).one()
    return earliest, latest


_STAMPS = """
    SELECT min(stamp), max(stamp)
    FROM batches CROSS JOIN LATERAL (VALUES (created_at), (started_at), (completed_at)) AS stamps (stamp)
"""
