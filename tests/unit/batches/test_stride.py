"""Whose turn it is."""

from __future__ import annotations

from collections import Counter

from tests.unit.batches.samples import item, running_batch

from imagebatch_server.batches.stride import Stride


def equal(_tenant: str) -> float:
    return 1.0


def serve(stride: Stride, count: int, item_ms: float = 10.0) -> Counter[str]:
    """Dispatch so many items, as the scheduler does."""
    served: Counter[str] = Counter()
    while served.total() < count:
        chosen = stride.next(stored=True, fetched=True)
        assert chosen is not None
        for _ in range(stride.items_a_turn(chosen)):
            if chosen.next_item is None:
                break
            charge = stride.charge(chosen)
            chosen.depart(charge)
            served[chosen.batch.batch_id] += 1
            stride.settle(chosen, charge.estimated_ms, item_ms)
        if chosen.next_item is not None:
            stride.enter(chosen)
    return served


def test_time_is_shared_by_priority() -> None:
    stride = Stride(equal)
    for name, priority in (("ten", 10), ("five", 5), ("one", 1)):
        stride.enter(running_batch(name, priority=priority))
    served = serve(stride, 1_600)
    assert abs(served["ten"] - 1_000) <= 20
    assert abs(served["five"] - 500) <= 20
    assert abs(served["one"] - 100) <= 20


def test_a_new_batch_goes_next_and_saves_nothing_up() -> None:
    stride = Stride(equal)
    stride.enter(running_batch("big"))
    serve(stride, 1_000)
    stride.enter(running_batch("small", items=10))
    assert serve(stride, 4)["small"] >= 2


def test_batches_whose_slots_are_taken_wait_apart() -> None:
    stride = Stride(equal)
    stored, fetched = running_batch("stored"), running_batch("fetched", url="http://a/1.png")
    stride.enter(stored)
    stride.enter(fetched)
    assert stride.next(stored=False, fetched=True) is fetched
    assert stride.next(stored=False, fetched=True) is None
    assert stride.next(stored=False, fetched=False) is None
    assert stride.next(stored=True, fetched=False) is stored


def test_a_batch_whose_next_item_is_of_the_other_kind_changes_queues() -> None:
    stride = Stride(equal)
    mixed = running_batch("mixed", items=2)
    stride.enter(mixed)
    mixed.bring_back([item(9, image_url="http://a/1.png")])
    assert stride.next(stored=True, fetched=False) is None
    assert stride.next(stored=False, fetched=True) is mixed


def test_a_batch_that_left_gets_no_turn_and_is_forgotten() -> None:
    stride = Stride(equal)
    gone, other = running_batch("gone"), running_batch("other")
    stride.enter(gone)
    stride.enter(other)
    stride.leave(gone)
    assert stride.next(stored=True, fetched=True) is other
    assert stride.next(stored=True, fetched=True) is None
    stride.leave(other)
    assert not stride._batches


def test_time_is_shared_first_between_tenants() -> None:
    stride = Stride({"light": 1.0, "heavy": 3.0}.__getitem__)
    for number in range(50):
        stride.enter(running_batch(f"many {number}", tenant="light", priority=10))
    stride.enter(running_batch("one", tenant="heavy", priority=1))
    served = serve(stride, 4_000)
    assert abs(served["one"] - 3_000) <= 50
    assert {served[f"many {number}"] // 5 for number in range(50)} <= {3, 4}


def test_an_idle_tenants_few_items_go_next_and_are_paid_for() -> None:
    """Ten items of a tenant that had asked for nothing don't wait for the turns of one with many batches."""
    stride = Stride(equal)
    for number in range(1_000):
        stride.enter(running_batch(f"many {number}", tenant="busy", items=100))
    serve(stride, 2_000)
    stride.enter(running_batch("few", tenant="idle", items=10, at_hand=10))
    assert serve(stride, 10)["few"] == 10


def test_an_idle_tenants_few_items_go_before_what_waits_for_workers_too() -> None:
    """What had a turn long ago was brought ahead of the workers, and waits as well."""
    ahead_ms = 1_000.0
    stride = Stride(equal, lambda: served - ahead_ms)
    stride.enter(running_batch("many", tenant="busy", items=1_000))
    served = 0.0
    serve(stride, 500)
    served = 500 * 10.0
    few = running_batch("few", tenant="idle", items=10, at_hand=10)
    stride.enter(few)
    chosen = stride.next(stored=True, fetched=True)
    assert chosen is few
    assert stride.charge(few).turn_ms < served - ahead_ms


def test_a_tenant_that_comes_and_goes_gets_no_more_than_its_share() -> None:
    stride = Stride(equal)
    stride.enter(running_batch("always", tenant="busy"))
    serve(stride, 100)
    few = 0
    for number in range(100):
        stride.enter(running_batch(f"few {number}", tenant="idle", items=5, at_hand=5))
        served = serve(stride, 6)
        few += sum(count for name, count in served.items() if name != "always")
    assert few <= 300 + 25  # half of all, and what it had saved up before


def test_no_batch_is_lost_between_the_two_kinds() -> None:
    stride = Stride(equal)
    left = set()
    for number in range(300):
        url = "http://a/1.png" if number % 2 else None
        running = running_batch(str(number), tenant=str(number % 30), items=2, at_hand=2, url=url)
        stride.enter(running)
        left.add(running)
    for turn in range(3_000):
        kinds = {"stored": turn % 3 != 0, "fetched": turn % 3 != 1}
        chosen = stride.next(**kinds)
        if chosen is None:
            continue
        dispatch = chosen.depart(stride.charge(chosen))
        assert kinds["fetched" if dispatch.item.is_fetched else "stored"]
        if chosen.next_item is not None:
            stride.enter(chosen)
        else:
            left.remove(chosen)
    assert not left
