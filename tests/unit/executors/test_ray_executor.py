"""The executor of a cluster, with a driver that is told what to say: who has what, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches.errors import CannotStart
from imagebatch_server.batches.model import AttemptResult, Dispatch, Item, Outcome
from imagebatch_server.executors.attempts.strikes import MOST_STRIKES, STRIKES_TO_GO_ALONE
from imagebatch_server.executors.protocol.cluster import (
    Alone,
    Connected,
    Drop,
    Event,
    Fetched,
    FetchEnded,
    Finished,
    FromDriver,
    Give,
    Heard,
    Home,
    LaneState,
    NodeLost,
    NodeRefused,
    NodeUp,
    Parcel,
    Report,
    Slow,
    StartDriver,
    ToDriver,
    Underway,
    encode,
)
from imagebatch_server.executors.ray import executor as module
from imagebatch_server.executors.ray.executor import RayExecutor

HOME = Home("none:none", {}, {}, {}, [], "an id")


@dataclass
class Heeded:
    """What the scheduler hears."""

    heard: list[tuple[str, int]] = field(default_factory=list)
    results: list[AttemptResult] = field(default_factory=list)
    grew: int = 0

    def fetched(self, dispatch: Dispatch) -> None:
        self.heard.append(("fetched", dispatch.item.item_index))

    def answered(self, dispatch: Dispatch) -> None:
        self.heard.append(("answered", dispatch.item.item_index))

    def started(self, dispatch: Dispatch) -> None:
        self.heard.append(("started", dispatch.item.item_index))

    def finished(self, result: AttemptResult) -> None:
        self.results.append(result)

    def fetch_is_slow(self, dispatch: Dispatch) -> None:
        self.heard.append(("slow", dispatch.item.item_index))

    def room_grew(self) -> None:
        self.grew += 1


class Driver:
    """Stands where the child does."""

    made: Sequence[Driver] = ()

    def __init__(self, start: StartDriver, on_message: Callable[[FromDriver], None]) -> None:
        self.start = start
        self.say = on_message
        self.told: list[ToDriver] = []
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        Driver.made = (*Driver.made, self)

    def send(self, message: ToDriver) -> None:
        self.told.append(message)

    async def run(self) -> str:
        return await self._ended

    def end(self, how: str) -> None:
        self._ended.set_result(how)

    restart = end

    def given(self, node: str) -> dict[int, int]:
        """By the item's index, the number by which a node last got it."""
        return {index: parcel.number for index, parcel in self.parcels(node).items()}

    def parcels(self, node: str) -> dict[int, Parcel]:
        """By the item's index, what a node last got."""
        gives = [message for message in self.told if isinstance(message, Give) and message.node == node]
        return {parcel.dispatch.item.item_index: parcel for give in gives for parcel in give.parcels}


class Cluster:
    def __init__(self, *, one_node: bool = False) -> None:
        self.events = Heeded()
        self.fetches: list[tuple[object, ...]] = []
        self.executor = RayExecutor(
            *("head:1", "here", "server", lambda _operation, _parameters: "workers", lambda: HOME),
            on_fetch=lambda *fetch: self.fetches.append(fetch),
            one_node=one_node,
        )
        self._starting: asyncio.Task[None]
        self._sessions = 0

    async def start(self, nodes: int = 2) -> None:
        self._starting = asyncio.create_task(self.executor.start(self.events))
        await _until(lambda: Driver.made)
        self.driver.say(Connected(nodes))

    async def started(self) -> None:
        await self._starting

    @property
    def driver(self) -> Driver:
        return Driver.made[-1]

    def up(self, node: str, *, stored: int = 10, fetched: int = 10, lane: str = "workers") -> int:
        self._sessions += 1
        self.driver.say(NodeUp(node, self._sessions, f"host of {node}"))
        self.report(node, self._sessions, [], stored=stored, fetched=fetched, lane=lane)
        return self._sessions

    def report(
        self,
        node: str,
        session: int,
        events: list[Event],
        *,
        stored: int = 10,
        fetched: int = 10,
        lane: str = "workers",
    ) -> None:
        state = LaneState(stored, fetched, float("inf"), float("-inf"))
        self.driver.say(Heard(node, session, encode(Report(events, {lane: state}, alive=2, restarts=0))))


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setattr(module, "DriverSession", Driver)
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(Driver, "made", ())
    made = Cluster()
    await made.start()
    yield made
    await made.executor.stop(0.0)


async def _until(holds: Callable[[], object]) -> None:
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come to that")


def dispatch(index: int, *, url: str | None = None, lane: str = "workers") -> Dispatch:
    item = Item(index, None, url, None if url else "key", None, None, None, None)
    return Dispatch("tenant", "batch", 1, 1, item, "noop", None, 60.0, lane)


def success(number: int, index: int) -> Finished:
    return Finished(number, Outcome(index, BatchItemStatus.SUCCESS, output_data=b""))


async def test_what_a_lost_node_had_goes_out_again_and_what_it_still_says_counts_for_nothing(cluster: Cluster) -> None:
    first = cluster.up("first")
    given = dispatch(7)
    cluster.executor.submit(given)
    await _until(lambda: cluster.driver.given("first"))
    old = cluster.driver.given("first")[7]
    second = cluster.up("second")
    cluster.driver.say(NodeLost("first", first, "it froze"))
    await _until(lambda: cluster.driver.given("second"))
    new = cluster.driver.given("second")[7]

    cluster.report("first", first, [success(old, 7)])
    cluster.report("second", second, [success(old, 7)])
    assert cluster.events.results == []
    cluster.report("second", second, [success(new, 7), success(new, 7)])
    assert [result.dispatch for result in cluster.events.results] == [given]
    assert cluster.events.results[0].dispatch.attempt == 1


async def test_without_a_node_items_wait_and_go_to_the_next_that_comes(cluster: Cluster) -> None:
    cluster.executor.submit(dispatch(1))
    assert cluster.executor.room("workers") == 0
    assert "items" in (cluster.executor.trouble or "")
    cluster.up("first", stored=4)
    await _until(lambda: cluster.driver.given("first"))
    assert cluster.events.grew == 1
    assert cluster.executor.trouble is None
    assert cluster.executor.room("workers") == 3


async def test_the_node_with_most_room_is_given_the_next(cluster: Cluster) -> None:
    cluster.up("small", stored=2)
    cluster.up("large", stored=6)
    for index in range(6):
        cluster.executor.submit(dispatch(index))
    await _until(lambda: len(cluster.driver.given("large")) + len(cluster.driver.given("small")) == 6)
    assert len(cluster.driver.given("large")) == 5
    assert cluster.executor.room("workers") == 2


async def test_what_asks_for_resources_goes_to_nodes_that_have_them_alone(cluster: Cluster) -> None:
    cluster.up("plain", stored=100)
    cluster.executor.submit(dispatch(1, lane="workers:num_gpus=1"))
    assert cluster.executor.room("workers:num_gpus=1") == 0
    cluster.up("gpu", lane="workers:num_gpus=1")
    await _until(lambda: cluster.driver.given("gpu"))
    assert cluster.driver.given("plain") == {}


async def test_a_driver_that_ends_is_replaced_and_loses_nothing(cluster: Cluster) -> None:
    cluster.up("first")
    cluster.executor.submit(dispatch(1))
    await _until(lambda: cluster.driver.given("first"))
    cluster.driver.end("lost the head")
    await _until(lambda: len(Driver.made) == 2)
    assert cluster.executor.alive == 0
    assert "away" in (cluster.executor.trouble or "")
    cluster.driver.say(Connected(1))
    cluster.up("first")
    await _until(lambda: cluster.driver.given("first"))
    assert list(cluster.driver.given("first")) == [1]


async def test_a_fetch_gives_its_slot_back_once_however_many_nodes_it_takes(cluster: Cluster) -> None:
    first = cluster.up("first")
    cluster.executor.submit(dispatch(1, url="https://images.example/1.png"))
    await _until(lambda: cluster.driver.given("first"))
    number = cluster.driver.given("first")[1]
    assert cluster.executor.room_to_fetch("workers") == 9
    cluster.report("first", first, [Slow(number)])
    assert cluster.executor.room_to_fetch("workers") == 10
    cluster.report("first", first, [Fetched(number), Underway(number)])
    second = cluster.up("second")
    cluster.driver.say(NodeLost("first", first, "it died"))
    await _until(lambda: cluster.driver.given("second"))
    number = cluster.driver.given("second")[1]
    cluster.report("second", second, [Slow(number), Fetched(number), success(number, 1)])
    assert cluster.events.heard == [("slow", 1), ("fetched", 1), ("started", 1)]
    assert len(cluster.events.results) == 1


async def test_every_fetch_of_a_node_is_told(cluster: Cluster) -> None:
    session = cluster.up("first")
    one = dispatch(1, url="https://images.example/1.png")
    cluster.executor.submit(one)
    await _until(lambda: cluster.driver.given("first"))
    number = cluster.driver.given("first")[1]
    cluster.report("first", session, [FetchEnded(number, None, 0.5, 700), Fetched(number), success(number, 1)])
    assert cluster.fetches == [(one, None, 0.5, 700)]


class Killer:
    """A node whose agent dies again and again."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._session = cluster.up("node")
        self.deaths = 0

    async def given(self, *indexes: int) -> dict[int, Parcel]:
        """Wait until the agent has these, and nothing else."""
        driver = self._cluster.driver
        await _until(lambda: {*indexes} <= driver.parcels("node").keys())
        return {index: driver.parcels("node")[index] for index in indexes}

    def leave_alone(self, parcel: Parcel) -> None:
        self._cluster.report("node", self._session, [Alone(parcel.number)])

    def end(self, parcel: Parcel) -> None:
        self._cluster.report("node", self._session, [success(parcel.number, parcel.dispatch.item.item_index)])

    def die(self, *, agent_died: bool = True) -> None:
        self.deaths += 1
        self._cluster.driver.told.clear()
        self._cluster.driver.say(NodeLost("node", self._session, "it died", agent_died))
        self._session = self._cluster.up("node")


async def test_what_agents_die_of_goes_alone_and_pays_in_the_end_and_nobody_else(cluster: Cluster) -> None:
    node = Killer(cluster)
    culprit, neighbour = dispatch(1, url="https://images.example/1.png"), dispatch(2)
    for one in (culprit, neighbour):
        cluster.executor.submit(one)
    for _ in range(STRIKES_TO_GO_ALONE):
        given = await node.given(1, 2)
        assert not any(parcel.goes_alone for parcel in given.values())
        node.die()
    assert all(parcel.goes_alone for parcel in (await node.given(1, 2)).values())

    for _ in range(10):  # what waits for others to leave has not killed it
        node.die()
        await node.given(1, 2)
    given = await node.given(1, 2)
    node.leave_alone(given[2])
    node.end(given[2])
    while not any(result.dispatch is culprit for result in cluster.events.results):
        node.leave_alone((await node.given(1))[1])
        node.die()
    assert node.deaths == MOST_STRIKES + 10

    first, last = cluster.events.results
    assert (first.dispatch, first.outcome.status) == (neighbour, BatchItemStatus.SUCCESS)
    assert (last.outcome.error_code, last.outcome.attempts) == (ItemErrorCode.WORKER_CRASHED, 1)
    assert last.transient, "it has its other attempts"
    assert cluster.events.heard == [("fetched", 1)]

    cluster.executor.submit(dispatch(1))  # its next attempt is known for what it is
    given = await node.given(1)
    assert given[1].goes_alone
    node.leave_alone(given[1])
    node.die()
    assert len(cluster.events.results) == 3


async def test_nobody_pays_for_nodes_that_die_however_many(cluster: Cluster) -> None:
    node = Killer(cluster)
    cluster.executor.submit(dispatch(1))
    for _ in range(3 * MOST_STRIKES):
        assert not (await node.given(1))[1].goes_alone
        node.die(agent_died=False)
    assert cluster.events.results == []


async def test_what_no_worker_has_is_withdrawn_at_the_node_too(cluster: Cluster) -> None:
    first = cluster.up("first")
    begun, waiting = dispatch(1), dispatch(2)
    for one in (begun, waiting):
        cluster.executor.submit(one)
    await _until(lambda: len(cluster.driver.given("first")) == 2)
    numbers = cluster.driver.given("first")
    cluster.report("first", first, [Underway(numbers[1])])
    assert not cluster.executor.withdraw(begun)
    assert cluster.executor.withdraw(waiting)
    assert cluster.driver.told[-1] == Drop("first", first, [numbers[2]])
    cluster.report("first", first, [success(numbers[2], 2), success(numbers[1], 1)])
    assert [result.dispatch for result in cluster.events.results] == [begun]


async def test_where_all_nodes_are_refused_the_server_starts_and_items_wait(cluster: Cluster) -> None:
    cluster.driver.say(NodeRefused("first", "a host", "describe is 1.0 on this node and 1.1 at the server"))
    await cluster.started()
    assert (
        cluster.executor.trouble == "no node of the Ray cluster takes items; they wait, and the server's log says why"
    )
    assert "1.1" not in cluster.executor.trouble


async def test_images_in_a_folder_and_several_nodes_do_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DriverSession", Driver)
    monkeypatch.setattr(Driver, "made", ())
    cluster = Cluster(one_node=True)
    await cluster.start(nodes=2)
    with pytest.raises(CannotStart, match="--object-store-url"):
        await cluster.started()
    await cluster.executor.stop(0.0)


async def test_with_images_in_a_folder_a_second_node_is_refused_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DriverSession", Driver)
    monkeypatch.setattr(Driver, "made", ())
    cluster = Cluster(one_node=True)
    await cluster.start(nodes=1)
    cluster.up("first")
    await cluster.started()
    cluster.up("second")
    cluster.executor.submit(dispatch(1))
    await _until(lambda: cluster.driver.given("first"))
    assert cluster.driver.given("second") == {}
    await cluster.executor.stop(0.0)
