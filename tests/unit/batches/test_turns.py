"""Whose turn it is, and how hosts' slots are shared."""

from __future__ import annotations

from collections import Counter

from tests.unit.batches.samples import batch, item, options

from imagebatch_server.batches.hosts import HostSlots, host_of
from imagebatch_server.batches.running import RunningBatch
from imagebatch_server.batches.turns import Turns


def running(name: str, priority: int = 5, items: int = 10_000, *, url: str | None = None) -> RunningBatch:
    return RunningBatch(
        batch(batch_id=name, total_items=items, options=options(priority=priority)),
        [item(index, image_url=url) for index in range(items)],
    )


def serve(turns: Turns, count: int, item_ms: float = 10.0) -> Counter[str]:
    """Dispatch so many items, as the scheduler does."""
    served: Counter[str] = Counter()
    while served.total() < count:
        chosen = turns.next(stored=True, fetched=True)
        assert chosen is not None
        for _ in range(min(turns.items_a_turn(chosen), len(chosen.window))):
            chosen.window.popleft()
            served[chosen.batch.batch_id] += 1
            turns.settle(chosen, turns.charge(chosen), item_ms)
        if chosen.window:
            turns.enter(chosen)
    return served


def test_time_is_shared_by_priority() -> None:
    turns = Turns()
    for name, priority in (("ten", 10), ("five", 5), ("one", 1)):
        turns.enter(running(name, priority))
    served = serve(turns, 1_600)
    assert abs(served["ten"] - 1_000) <= 20
    assert abs(served["five"] - 500) <= 20
    assert abs(served["one"] - 100) <= 20


def test_a_new_batch_goes_next_and_saves_nothing_up() -> None:
    turns = Turns()
    turns.enter(running("big"))
    serve(turns, 1_000)
    turns.enter(running("small", items=10))
    assert serve(turns, 4)["small"] >= 2


def test_batches_whose_slots_are_taken_wait_apart() -> None:
    turns = Turns()
    stored, fetched = running("stored"), running("fetched", url="http://a/1.png")
    turns.enter(stored)
    turns.enter(fetched)
    assert turns.next(stored=False, fetched=True) is fetched
    assert turns.next(stored=False, fetched=True) is None
    assert turns.next(stored=False, fetched=False) is None
    assert turns.next(stored=True, fetched=False) is stored


def test_a_batch_whose_next_item_is_of_the_other_kind_changes_queues() -> None:
    turns = Turns()
    mixed = running("mixed", items=2)
    turns.enter(mixed)
    mixed.window.appendleft(item(9, image_url="http://a/1.png"))
    assert turns.next(stored=True, fetched=False) is None
    assert turns.next(stored=False, fetched=True) is mixed


def test_hosts_have_slots_of_their_own_and_parked_items_come_back_in_order() -> None:
    hosts = HostSlots(overall=3, per_host=2)
    first, second = running("first"), running("second")
    assert hosts.acquire("a")
    assert hosts.acquire("a")
    assert not hosts.acquire("a")
    assert hosts.room() == 1
    assert hosts.acquire("b")
    assert hosts.room() == 0
    hosts.park("a", first, 1)
    hosts.park("a", second, 2)
    hosts.park("a", second, 3)
    first.close()
    assert hosts.release("a") == (second, 2)
    assert hosts.release("a") == (second, 3)
    assert hosts.release("b") is None
    assert hosts.acquire("a")
    assert hosts.acquire("a")


def test_a_url_without_a_host_has_the_empty_one() -> None:
    assert host_of("https://EXAMPLE.com:8080/a?b") == "example.com"
    assert host_of("http://[::1/") == ""
    assert host_of("http:///x") == ""
