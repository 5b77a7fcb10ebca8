"""A node's agent without Ray: whose dispatches it holds, and what it reports to whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

import pytest

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches.model import AttemptResult, Dispatch, Item, Outcome
from imagebatch_server.batches.ports.execution import DispatchEvents
from imagebatch_server.executors.protocol.cluster import (
    Alone,
    Event,
    Fetched,
    FetchEnded,
    Finished,
    Home,
    Parcel,
    Report,
    Slow,
    Underway,
    decode_report,
    encode,
)
from imagebatch_server.executors.ray import agent as module
from imagebatch_server.executors.ray.agent import Agent, Refusal
from imagebatch_server.executors.supply.events import OnFetch

HOME = encode(Home(f"{__name__}:opener", {}, {}, {}, [], None))
REFUSING = encode(Home(f"{__name__}:refusing", {}, {}, {}, [], None))


class Executor:
    """Hold what it is given until the test lets it end."""

    last: Executor

    def __init__(self, on_fetch: OnFetch) -> None:
        self.on_fetch = on_fetch
        self.held: list[Dispatch] = []
        self.events: DispatchEvents
        Executor.last = self

    alive = 2
    restarts = 0
    trouble = None

    def lanes(self) -> list[str]:
        return ["workers"]

    async def start(self, events: DispatchEvents) -> None:
        self.events = events

    async def stop(self, grace_s: float) -> None:
        self.held.clear()

    def submit(self, dispatch: Dispatch) -> None:
        self.held.append(dispatch)

    def forget(self, dispatch: Dispatch) -> None:
        self.held.remove(dispatch)

    def room(self, lane: str) -> int:
        return 5

    def room_to_fetch(self, lane: str) -> int:
        return 3

    def first_turn_ms(self, lane: str) -> float:
        return float("inf")

    def last_turn_ms(self, lane: str) -> float:
        return float("-inf")

    def end(self, dispatch: Dispatch) -> None:
        self.held.remove(dispatch)
        outcome = Outcome(dispatch.item.item_index, BatchItemStatus.SUCCESS, output_data=b"")
        self.events.finished(AttemptResult(dispatch, outcome))


async def opener(
    home: Home,
    resources: Mapping[str, float],
    opened: AsyncExitStack,
    nodes: Callable[[], int],
    on_fetch: OnFetch,
) -> Executor:
    return Executor(on_fetch)


async def refusing(
    home: Home,
    resources: Mapping[str, float],
    opened: AsyncExitStack,
    nodes: Callable[[], int],
    on_fetch: OnFetch,
) -> Executor:
    raise Refusal("other packages are here")


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Agent:
    monkeypatch.setattr(module, "_WAIT_S", 0.05)
    return Agent(HOME, {"CPU": 2.0})


def parcels(*numbers: int, url: str | None = None, goes_alone: bool = False) -> bytes:
    return encode([Parcel(number, _dispatch(number, url), goes_alone) for number in numbers])


def held() -> list[int]:
    """List what the executor has."""
    return [dispatch.item.item_index for dispatch in Executor.last.held]


def _dispatch(index: int, url: str | None) -> Dispatch:
    item = Item(index, None, url, None if url else "key", None, None, None, None)
    return Dispatch("tenant", "batch", 1, 1, item, "noop", None, 60.0, "workers")


async def reported(agent: Agent, server: str, session: int) -> Report:
    answer = await agent.report(server, session, 1)
    assert answer is not None
    return decode_report(answer)


async def test_a_server_is_told_of_its_own_dispatches_in_order(agent: Agent) -> None:
    for server in ("one", "other"):
        assert await agent.attach(server, 1) is None
    await agent.take("one", 1, parcels(7))
    await agent.take("other", 1, parcels(7))
    executor = Executor.last
    executor.events.started(executor.held[0])
    executor.end(executor.held[0])
    events: list[Event] = (await reported(agent, "one", 1)).events
    assert [type(event) for event in events] == [Underway, Finished]
    assert {event.number for event in events} == {7}
    assert (await reported(agent, "other", 1)).events == []


async def test_one_that_goes_alone_has_the_node_to_itself_once_its_server_knows(agent: Agent) -> None:
    for server in ("one", "other"):
        await agent.attach(server, 1)
    await agent.take("one", 1, parcels(1))
    await agent.take("other", 1, parcels(2, goes_alone=True))
    await agent.take("one", 1, parcels(3, 4))
    assert held() == [1]
    report = await reported(agent, "one", 1)
    assert report.lanes["workers"].stored == 3, "nothing more is wanted meanwhile"

    Executor.last.end(Executor.last.held[0])
    assert (await reported(agent, "other", 1)).events == [Alone(2)]
    assert held() == []
    assert (await reported(agent, "other", 1)).events == []
    assert held() == [2]

    Executor.last.end(Executor.last.held[0])
    assert held() == [3, 4]
    assert (await reported(agent, "other", 1)).lanes["workers"].stored == 3


async def test_those_that_go_alone_follow_one_another_and_one_that_is_dropped_makes_way(agent: Agent) -> None:
    await agent.attach("one", 1)
    await agent.take("one", 1, parcels(1, 2, 3, goes_alone=True))
    await agent.drop("one", 1, [1, 3])
    assert (await reported(agent, "one", 1)).events == [Alone(1), Alone(2)]
    await reported(agent, "one", 1)
    assert held() == [2]
    await agent.take("one", 1, parcels(4))
    await agent.attach("one", 2)
    assert held() == []
    await agent.take("one", 2, parcels(5))
    assert held() == [5]


async def test_a_new_session_forgets_what_the_old_one_had(agent: Agent) -> None:
    await agent.attach("one", 1)
    await agent.take("one", 1, parcels(1, 2))
    late = Executor.last.held[0]
    await agent.attach("one", 2)
    assert Executor.last.held == []
    assert await agent.report("one", 1, 1) is None
    await agent.take("one", 1, parcels(3))
    assert Executor.last.held == []
    Executor.last.held.append(late)
    Executor.last.end(late)
    assert (await reported(agent, "one", 2)).events == []


async def test_what_is_free_is_shared_and_what_is_held_is_wanted(agent: Agent) -> None:
    await agent.attach("one", 1)
    await agent.take("one", 1, parcels(1, 2))
    alone = (await reported(agent, "one", 1)).lanes["workers"]
    assert (alone.stored, alone.fetched) == (2 + 5, 3)
    await agent.attach("other", 1)
    shared = (await reported(agent, "one", 1)).lanes["workers"]
    assert (shared.stored, shared.fetched) == (2 + 3, 2)


async def test_a_slow_fetch_lends_its_place(agent: Agent) -> None:
    await agent.attach("one", 1)
    await agent.take("one", 1, parcels(1, url="https://images.example/1.png"))
    assert (await reported(agent, "one", 1)).lanes["workers"].fetched == 1 + 3
    held = Executor.last.held[0]
    Executor.last.events.fetch_is_slow(held)
    report = await reported(agent, "one", 1)
    assert (report.events, report.lanes["workers"].fetched) == ([Slow(1)], 3)
    Executor.last.on_fetch(held, ItemErrorCode.FETCH_FAILED, 0.5, 0)
    Executor.last.events.fetched(held)
    Executor.last.end(held)
    report = await reported(agent, "one", 1)
    assert report.events[0] == FetchEnded(1, ItemErrorCode.FETCH_FAILED, 0.5, 0)
    assert ([type(event) for event in report.events[1:]], report.lanes["workers"].fetched) == ([Fetched, Finished], 3)


async def test_what_is_dropped_is_forgotten_by_the_executor(agent: Agent) -> None:
    await agent.attach("one", 1)
    await agent.take("one", 1, parcels(1, 2))
    await agent.drop("one", 1, [1, 99])
    assert [dispatch.item.item_index for dispatch in Executor.last.held] == [2]


async def test_an_agent_that_can_not_open_says_why_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    ended = asyncio.Event()
    agent = Agent(REFUSING, {"CPU": 2.0}, ended.set)
    assert await agent.attach("one", 1) == "other packages are here"
    assert await agent.attach("other", 1) == "other packages are here"
    await asyncio.wait_for(ended.wait(), 10)


async def test_a_server_that_asks_no_more_is_forgotten_and_the_agent_ends_with_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, seconds in (("_LOOK_S", 0.01), ("_SILENT_S", 0.05), ("UNUSED_S", 0.5), ("_WAIT_S", 0.01)):
        monkeypatch.setattr(module, name, seconds)
    ended = asyncio.Event()
    agent = Agent(HOME, {"CPU": 2.0}, ended.set)
    for server in ("silent", "asking"):
        await agent.attach(server, 1)
        await agent.take(server, 1, parcels(1))
    silent, asking = Executor.last.held
    while len(Executor.last.held) == 2:
        assert await agent.report("asking", 1, 1) is not None
    assert Executor.last.held == [asking]
    assert silent is not asking
    assert await agent.report("silent", 1, 1) is None
    await asyncio.wait_for(ended.wait(), 10)
    assert Executor.last.held == []
