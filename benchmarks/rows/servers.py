"""Several servers on one PostgreSQL: how long a batch stands still when its owner dies, and what a server more costs.

A batch is watched through another server than its owner, and the owner is killed (SIGKILL) or frozen (SIGSTOP). What is
told is the longest time in which that watch brings nothing; otherwise it brings something every tenth of a second.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack

from benchmarks import operations, work
from benchmarks.fleet import several_servers
from benchmarks.measure import Line, Report, Round, Scale, Series, Skipped, interleave
from benchmarks.ours import Ours, answers_of
from benchmarks.peers import Missing
from benchmarks.rows.delay import stamped
from benchmarks.stamped_server import StampedServer
from imagebatch.v1 import batch_service_pb2 as pb

ROW = "servers"
COUNTS = (1, 2, 3)
BLOW_AFTER, BLOW_BEFORE_END, TAKEOVER_ITEMS = 100, 200, 1_500
"""Outcomes before the owner is struck, outcomes after it went on, and items of such a batch: 15 s of work."""
START_S = 60.0
RATE, COST = "items/s", "us"


async def measure(scale: Scale, report: Report) -> None:
    try:
        async with several_servers(2, warm=operations.Paced.name, kind=StampedServer) as servers:
            for name in ("killed", "frozen"):
                silences = [await _silence_s(servers, name) for _ in range(scale.takeovers)]
                figure = f"longest silence of a watch whose batch's owner is {name}, lease of 3 s"
                report.add(Line(ROW, f"{figure}, p50", "s", Series(silences)))
                report.add(Line(ROW, f"{figure}, most of {len(silences)}", "s", Series([max(silences)])))
        await _costs(scale, report)
    except Missing as error:
        report.add(Skipped(ROW, "several servers", str(error)))


async def _silence_s(servers: list[Ours], blow: str) -> float:
    """Strike the owner of a batch, and set it up again afterwards."""
    batch_id = await servers[0].submit_messages(TAKEOVER_ITEMS, operations.Paced.name)
    owner, other = await _owner_and_other(servers, batch_id)
    process = owner.process
    seen, struck_at, longest_s = 0, None, 0.0
    last_at = time.monotonic()
    watch = other.stub.WatchBatch(pb.WatchBatchRequest(batch_id=batch_id))
    async for message in watch:
        if not message.results:
            continue
        now = time.monotonic()
        if struck_at is not None:
            longest_s = max(longest_s, now - max(last_at, struck_at))
        last_at = now
        seen += len(answers_of(message))
        if struck_at is None and seen >= BLOW_AFTER:
            struck_at = now
            if blow == "killed":
                process.kill()
            else:
                process.process.send_signal(signal.SIGSTOP)
        elif struck_at is not None and seen >= BLOW_AFTER + BLOW_BEFORE_END:
            break
    if struck_at is None:
        raise work.WrongResults(f"the watch ended after {seen} outcomes")
    watch.cancel()
    await _end(other, batch_id)
    if blow == "killed":
        await asyncio.to_thread(process.start)
    else:
        process.process.send_signal(signal.SIGCONT)
    await _until_ready(owner)
    return longest_s


async def _owner_and_other(servers: list[Ours], batch_id: str) -> tuple[Ours, Ours]:
    """Wait for the first outcomes; who records them is the owner."""
    one, two = servers
    async with asyncio.timeout(START_S):
        while True:
            for owner, other in ((one, two), (two, one)):
                if stamped(owner).committed_at(batch_id):
                    return owner, other
            await asyncio.sleep(0.01)


async def _end(ours: Ours, batch_id: str) -> None:
    """Cancel a batch, and wait until it has ended."""
    await ours.stub.CancelBatch(pb.CancelBatchRequest(batch_id=batch_id))
    async for _ in ours.watch_messages(batch_id):
        pass


async def _until_ready(ours: Ours) -> None:
    """Wait until a server does work of its own again."""
    await ours.stub.GetServerInfo(pb.GetServerInfoRequest(), wait_for_ready=True, timeout=START_S)
    batch_id = await ours.submit_messages(1, operations.Paced.name)
    async for _ in ours.watch_messages(batch_id):
        pass


async def _costs(scale: Scale, report: Report) -> None:
    items = scale.batch_items[0]
    async with AsyncExitStack() as opened:
        fleets = {
            count: await opened.enter_async_context(several_servers(count, warm=operations.Noop.name))
            for count in COUNTS
        }
        found = await interleave({str(count): _run(fleet, items) for count, fleet in fleets.items()}, scale.rounds)
    for count in COUNTS[1:]:
        figure = f"a batch of {items:,} at one of {count} servers"
        report.add(
            Line(ROW, f"{figure}: processor time of all servers' own processes an item", "µs",
                 found[str(count)][COST], "one server", found["1"][COST])
        )  # fmt: skip
        report.add(Line(ROW, figure, "items/s", found[str(count)][RATE], "one server", found["1"][RATE]))


def _run(fleet: list[Ours], items: int) -> Round:
    async def run() -> Mapping[str, float]:
        before_s, began_at = sum(ours.cpu_s() for ours in fleet), time.perf_counter()
        batch_id = await fleet[0].submit_messages(items, operations.Noop.name)
        answers = [answer async for message in fleet[0].watch_messages(batch_id) for answer in answers_of(message)]
        took_s = time.perf_counter() - began_at
        work.check(answers, items)
        used_s = sum(ours.cpu_s() for ours in fleet) - before_s
        return {RATE: items / took_s, COST: used_s / items * 1e6}

    return run
