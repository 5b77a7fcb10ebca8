"""Three servers on one PostgreSQL, killed, frozen and stopped in turn while batches run, watched at all three.

In the end nothing may be lost, doubled, reordered or counted wrongly, whichever server told of it.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.faults.batches import Maker
from tests.faults.conftest import Tell
from tests.faults.fleet import events, fleet, postgres, seaweed, shared_store
from tests.faults.load import Load
from tests.faults.logs import tracebacks
from tests.faults.stores import Store
from tests.integration.server import pictures, web
from tests.integration.server.calls import Raw
from tests.server import ServerProcess

__all__ = ["postgres", "seaweed", "shared_store"]

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(3 * 60 * 60)]

PROGRESS = 20
"""Outcomes that watchers see after one blow, before the next."""

FROZEN_S = 5.0
"""Longer than a lease. Callers of the frozen server wait for it meanwhile, so that progress can't be waited for."""


async def killed(server: ServerProcess) -> None:
    server.kill()
    await asyncio.to_thread(server.start)


async def frozen(server: ServerProcess) -> None:
    server.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(FROZEN_S)
    server.process.send_signal(signal.SIGCONT)


async def stopped(server: ServerProcess) -> None:
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)


BLOWS: dict[str, Callable[[ServerProcess], Awaitable[None]]] = {
    "killed": killed, "frozen": frozen, "stopped": stopped,
}  # fmt: skip


def test_nothing_is_lost_or_doubled_whatever_befalls_the_servers(
    shared_store: Store, tmp_path: Path, seed: int, scale: float, tell: Tell
) -> None:
    chance = random.Random(seed)
    plan = [blow for blow in BLOWS for _ in range(round(scale))]
    chance.shuffle(plan)
    markers = tmp_path / "markers"
    markers.mkdir()
    with web.serving() as host, fleet(shared_store, tmp_path, stop_grace_s="5") as made:
        servers = [made.add() for _ in range(3)]
        raw = Raw(servers[0].address)
        picture = raw.upload(pictures.drawn()).object_key
        raw.close()

        async def scenario() -> tuple[Load, Counter[str]]:
            addresses = [server.address for server in servers]
            maker = Maker(chance, markers, picture, host.url)
            load = Load(f"ipv4:{','.join(addresses)}", maker, chance, at_once=2, watched_at=addresses)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(load.run())
                for blow in plan:
                    await load.seen_more(PROGRESS)
                    await BLOWS[blow](chance.choice(servers))
                load.finish()
            ends = await load.judge(shared_store)
            await load.close()
            return load, ends

        load, ends = asyncio.run(scenario())
        moved = sum(len(events(server, "ownership.batch_taken_over")) for server in servers)
        given = sum(len(events(server, "batch.handed_over")) for server in servers)
        tell(", ".join(f"{number} {blow}" for blow, number in Counter(plan).items()) + " of three servers")
        tell(
            f"{len(load.batches)} batches, {sum(ends.values())} outcomes, {load.outcomes_seen} seen by watchers at "
            f"all three; {load.repeats} submits repeated, {moved} times a batch was taken over, {given} handed over"
        )
        tell(f"defects: {len(load.defects)}")
        assert load.defects == []
        assert [line for server in servers for line in tracebacks(server)] == []
