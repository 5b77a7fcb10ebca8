"""Three servers on one PostgreSQL, killed, frozen and stopped in turn while batches run, watched at all three.

In the end nothing may be lost, doubled, reordered or counted wrongly, whichever server told of it.
"""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from tests.faults.conftest import Tell
from tests.faults.fleet import BLOWS, fleet, moves, postgres, seaweed, shared_store
from tests.faults.stores import Store
from tests.faults.trouble import live_through

__all__ = ["postgres", "seaweed", "shared_store"]

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(3 * 60 * 60)]

ROUNDS = 3
"""Of each blow."""


def test_nothing_is_lost_or_doubled_whatever_befalls_the_servers(
    shared_store: Store, tmp_path: Path, seed: int, scale: float, tell: Tell
) -> None:
    chance = random.Random(seed)
    plan = [blow for blow in BLOWS for _ in range(round(ROUNDS * scale))]
    chance.shuffle(plan)
    tell(", ".join(f"{number} {blow}" for blow, number in Counter(plan).items()) + " of three servers")
    with fleet(shared_store, tmp_path, stop_grace_s="5") as made:
        servers = [made.add() for _ in range(3)]
        troubles = [partial(BLOWS[blow], chance.choice(servers)) for blow in plan]
        live_through(troubles, servers, shared_store, tmp_path, seed, tell)
        tell(moves(servers))
