"""Trouble with what three servers share: PostgreSQL, the pooler before it, the bucket, the time of day.

Batches run and are watched at all three meanwhile, and in the end nothing may be lost, doubled, reordered or counted
wrongly, whichever server told of it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from tests.faults.conftest import Tell
from tests.faults.fleet import fleet, moves, postgres, seaweed, shared_store
from tests.faults.stores import Store
from tests.faults.trouble import live_through
from tests.object_servers import SeaweedServer
from tests.postgres import PostgresServer

__all__ = ["postgres", "seaweed", "shared_store"]

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(3 * 60 * 60)]

ROUNDS = 3
SERVERS = 3
GONE_S = 10.0
LONGEST_GONE_S = 60.0
"""`make soak` has the bucket away for a minute."""

STOP_GRACE_S = "5"


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
        live_through([partial(restarted, sort) for sort in plan], servers, shared_store, tmp_path, seed, tell)
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
        live_through([partial(away, sort) for sort in plan], servers, shared_store, tmp_path, seed, tell)
        tell(moves(servers))
