"""How hosts' slots and turns are shared, and what waits for a host that wants to be left alone."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

from tests.unit.batches.samples import ALL, CHARGE, Place, batch, item, running_batch

from imagebatch_server.batches.fetch_shares import SLOW_A_PLACE
from imagebatch_server.batches.hosts import Hosts
from imagebatch_server.batches.model import Dispatch
from imagebatch_server.batches.running import RunningBatch
from imagebatch_server.batches.share import TURN_S, Share


class Due:
    """Something that is due on a clock."""

    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class HandClock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._order = count()
        self._due: list[tuple[float, int, Due, Callable[..., object], tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., object], /, *args: Any) -> Due:
        due = Due()
        heapq.heappush(self._due, (when, next(self._order), due, callback, args))
        return due

    def turn(self, seconds: float = 0.0) -> None:
        """Let time go by, and everything happen in its order."""
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            when, _, due, callback, args = heapq.heappop(self._due)
            self.now = max(self.now, when)
            if not due.is_cancelled:
                callback(*args)
        self.now = end


class Called:
    """Hosts on a clock, and the items that they call."""

    def __init__(self, **settings: Any) -> None:
        self.clock = HandClock()
        self.hosts = Hosts(clock=self.clock, **{"overall": 64, "per_host": 2, "share": ALL, **settings})
        self.items: list[tuple[str, int]] = []
        self.hosts.attach(lambda running, index: self.items.append((running.batch.batch_id, index)))

    def after(self, seconds: float = 0.0) -> list[tuple[str, int]]:
        """Count what is called within that time."""
        self.items.clear()
        self.clock.turn(seconds)
        return list(self.items)


def fetch(host: str, batch_id: str = "b", tenant: str = "default") -> Dispatch:
    running = running_batch(batch_id, tenant=tenant, items=1, url=f"http://{host}/x")
    return running.depart(CHARGE)


def test_hosts_have_slots_of_their_own_and_batches_that_wait_have_turns() -> None:
    called = Called(overall=3)
    hosts, first, second = called.hosts, running_batch("first"), running_batch("second")
    assert hosts.acquire("a", first, 0)
    assert hosts.acquire("a", first, 1)
    assert not hosts.acquire("a", first, 2)
    assert hosts.room() == 1
    assert hosts.acquire("b", second, 0)
    assert hosts.room() == 0
    for index in (2, 3, 4):
        hosts.wait("a", first, index)
    hosts.wait("a", second, 1)
    assert called.after() == []
    hosts.release(fetch("a", "first"))
    hosts.release(fetch("a", "first"))
    assert called.after() == [("first", 2), ("second", 1)]
    assert not hosts.acquire("a", second, 2)  # the slots are kept for those that were called
    assert hosts.acquire("a", second, 1)
    assert hosts.acquire("a", first, 2)
    hosts.release(fetch("a", "first"))
    assert called.after() == [("first", 3)]
    hosts.release(fetch("b", "second"))
    assert hosts.acquire("b", first, 9)


def test_a_batch_that_is_given_up_gives_its_kept_slots_back() -> None:
    called = Called(per_host=1)
    hosts, gone, other = called.hosts, running_batch("gone"), running_batch("other")
    assert hosts.acquire("a", other, 0)
    hosts.wait("a", gone, 0)
    hosts.wait("a", gone, 1)
    hosts.wait("a", other, 1)
    hosts.release(fetch("a", "other"))
    assert called.after() == [("gone", 0)]
    hosts.forget(gone)
    assert called.after() == [("other", 1)]
    assert hosts.acquire("a", other, 1)


def test_a_host_that_complains_is_left_alone_and_then_tried_by_one() -> None:
    called = Called(per_host=8)
    hosts, running = called.hosts, running_batch("b")
    for index in range(8):
        assert hosts.acquire("a", running, index)
    for index in range(8):
        hosts.release(fetch("a"))
        hosts.complained("a", 10.0)
        hosts.wait("a", running, index, first=True)
    assert not hosts.acquire("a", running, 8)
    assert called.after(9.9) == []
    assert called.after(0.2) == [("b", 7)]
    assert hosts.acquire("a", running, 7)
    assert called.after(100.0) == []
    hosts.release(fetch("a"))
    hosts.answered("a")
    assert len(called.after()) == 7


def test_what_was_called_waits_again_if_its_host_complains_meanwhile() -> None:
    called = Called(per_host=1)
    hosts, running = called.hosts, running_batch("b")
    assert hosts.acquire("a", running, 0)
    hosts.wait("a", running, 1)
    hosts.wait("a", running, 2)
    hosts.release(fetch("a"))
    assert called.after() == [("b", 1)]
    hosts.complained("a", 5.0)
    assert not hosts.acquire("a", running, 1)
    hosts.wait("a", running, 1)
    assert called.after(5.1) == [("b", 1)]
    assert hosts.acquire("a", running, 1)


def test_nothing_waits_longer_than_patience_for_a_host_that_only_complains() -> None:
    called = Called(per_host=1, patience_s=60.0)
    hosts, first, second = called.hosts, running_batch("first"), running_batch("second")
    hosts.complained("a", 3_600.0)
    hosts.wait("a", first, 0)
    called.clock.turn(30.0)
    hosts.wait("a", second, 0)
    assert not hosts.gives_up("a", first, 0)
    assert called.after(29.0) == []
    assert called.after(2.0) == [("first", 0)]
    assert not hosts.acquire("a", first, 0)
    assert hosts.gives_up("a", first, 0)
    assert called.after(30.0) == [("second", 0)]
    assert hosts.gives_up("a", second, 0)
    assert called.after(10_000.0) == []


def test_a_busy_host_that_answers_is_waited_for_as_long_as_it_takes() -> None:
    called = Called(per_host=1, patience_s=60.0)
    hosts, running = called.hosts, running_batch("b")
    assert hosts.acquire("a", running, 0)
    hosts.wait("a", running, 1)
    for _ in range(3):
        hosts.complained("a", 50.0)
        called.clock.turn(50.0)
        hosts.answered("a")
    assert not hosts.gives_up("a", running, 1)


def test_the_operators_rate_holds() -> None:
    called = Called(per_host=8, most_per_s=4.0)
    hosts, running = called.hosts, running_batch("b")
    assert hosts.acquire("a", running, 0)
    for index in range(1, 9):
        assert not hosts.acquire("a", running, index)
        hosts.wait("a", running, index)
    served = []
    for _ in range(4):
        served.append(len(called.after(0.26)))
        for one in called.items:
            assert hosts.acquire("a", running, one[1])
            hosts.release(fetch("a"))
    assert served == [1, 1, 1, 1]


def test_a_fleet_of_hosts_is_forgotten_but_for_those_in_use() -> None:
    called = Called()
    running = RunningBatch(batch(), [item(0)])
    called.hosts.complained("held", 300.0)
    for number in range(25_000):
        called.hosts.answered(f"host{number}")
    assert called.hosts.acquire("other", running, 0)
    assert len(called.hosts._hosts) <= 10_001
    assert not called.hosts.acquire("held", running, 1)


def test_a_slow_fetch_lends_its_slot_to_other_hosts_but_not_its_hosts() -> None:
    hosts, running = Called(overall=1, per_host=1).hosts, running_batch("b")
    slow = fetch("a")
    assert hosts.acquire("a", running, 0)
    assert hosts.room() == 0
    hosts.lend(slow)
    assert hosts.room() == 1
    assert not hosts.acquire("a", running, 1)
    hosts.release(slow)
    assert hosts.room() == 1
    assert hosts.acquire("a", running, 1)


def test_a_batch_with_its_share_is_held_back_until_a_fetch_ends_or_lends() -> None:
    called = Called(per_batch=2, per_host=8)
    hosts, hog, other = called.hosts, running_batch("hog"), running_batch("other")
    flights = [fetch("a", "hog") for _ in range(2)]
    for index in range(2):
        assert hosts.has_share("a", hog, index)
        assert hosts.acquire("a", hog, index)
    assert not hosts.has_share("a", hog, 2)
    assert hosts.has_share("a", other, 0)
    assert hosts.relieved() == []
    hosts.lend(flights[0])
    assert hosts.relieved() == [hog]
    assert hosts.relieved() == []
    assert hosts.acquire("a", hog, 2)
    assert not hosts.has_share("a", hog, 3)
    hosts.release(flights[1])
    assert hosts.relieved() == [hog]


def test_slow_fetches_of_a_batch_have_an_end_too() -> None:
    called = Called(per_batch=2, per_host=64)
    hosts, hog = called.hosts, running_batch("hog")
    flights = [fetch("a", "hog") for _ in range(2 * SLOW_A_PLACE)]
    for index, flight in enumerate(flights):
        assert hosts.has_share("a", hog, index)
        assert hosts.acquire("a", hog, index)
        hosts.lend(flight)
    assert hosts.room() == 64
    assert not hosts.has_share("a", hog, 99)
    hosts.release(flights[0])
    assert hosts.has_share("a", hog, 99)


def test_a_tenants_batches_share_what_it_may_have() -> None:
    called = Called(per_batch=2, per_tenant=3, per_host=64)
    hosts, batches = called.hosts, [running_batch(f"batch {number}") for number in range(30)]
    assert hosts.acquire("a", batches[0], 0)
    assert hosts.acquire("a", batches[0], 1)
    assert hosts.acquire("a", batches[1], 0)
    for running in batches[2:]:
        assert not hosts.has_share("a", running, 0)
    assert hosts.relieved() == []
    hosts.release(fetch("a", "batch 1"))
    relieved = []
    while some := hosts.relieved():
        assert len(some) <= 8
        relieved += some
    assert relieved == batches[2:]


def test_however_many_batches_there_are_a_newcomer_finds_room() -> None:
    called = Called(overall=64, per_batch=48, per_tenant=56, per_host=64)
    hosts, hogs = called.hosts, [running_batch(f"hog {number}") for number in range(6)]
    for hog in hogs:
        index = 0
        while hosts.has_share("a", hog, index):
            assert hosts.acquire("a", hog, index)
            index += 1
            assert index <= 48
    newcomer = running_batch("newcomer")
    assert hosts.has_share("a", newcomer, 0)
    assert hosts.room() >= 8, "nor are they all one tenant's"


def test_a_host_calls_no_item_whose_batch_has_its_share() -> None:
    called = Called(per_batch=2, per_host=1)
    hosts, hog, other = called.hosts, running_batch("hog"), running_batch("other")
    assert hosts.acquire("a", hog, 0)
    hosts.wait("a", hog, 2)
    hosts.wait("a", other, 0)
    assert hosts.acquire("b", hog, 1)
    hosts.wait("b", hog, 3)
    hosts.release(fetch("a", "hog"))
    assert called.after() == [("hog", 2)], "its turn, and its share"
    assert hosts.acquire("a", hog, 2)
    hosts.release(fetch("b", "hog"))
    assert called.after() == [("hog", 3)]
    assert hosts.has_share("b", hog, 3), "it was called, and has it already"
    assert not hosts.has_share("c", hog, 4)
    assert hosts.acquire("b", hog, 3)
    hosts.wait("c", hog, 4)
    hosts.wait("a", hog, 5)
    assert called.after() == []
    hosts.release(fetch("a", "hog"))
    assert called.after() == [("other", 0)]
    called.items.clear()
    hosts.relieved()
    assert called.items == [("hog", 4)], "the hosts that passed it over call it when it has room"


def test_places_that_become_free_go_to_those_who_have_fewer() -> None:
    called = Called(overall=64, per_batch=48, per_tenant=56, per_host=64)
    hosts, hog, other = called.hosts, running_batch("hog"), running_batch("other")
    for index in range(48):
        assert hosts.acquire("a", hog, index)
    assert not hosts.has_share("a", hog, 48)
    hosts.wait("a", hog, 48)
    assert hosts.acquire("b", other, 0)
    assert not hosts.has_share("b", other, 1), "what is left is for those that have nothing"
    for index in range(1, 5):
        hosts.wait("b", other, index)
    assert called.after() == []
    for _ in range(3):
        hosts.release(fetch("a", "hog"))
    assert not hosts.has_share("a", hog, 49), "the other one goes first"
    assert hosts.relieved() == [other]
    assert called.items == [("other", 1), ("other", 2), ("other", 3)]
    assert hosts.relieved() == [], "and has them before anybody else is asked"
    hosts.release(fetch("a", "hog"))
    assert hosts.relieved() == [other]
    assert hosts.relieved() == []


def test_of_tenants_too_those_go_first_who_have_fewer() -> None:
    called = Called(overall=16, per_batch=8, per_tenant=14, per_host=64)
    hosts = called.hosts
    hogs = [running_batch(f"hog {number}", tenant="large") for number in range(2)]
    small = running_batch("small", tenant="small")
    for hog, places in zip(hogs, (8, 6), strict=True):
        for index in range(places):
            assert hosts.acquire("a", hog, index)
        assert not hosts.has_share("a", hog, 10)
    assert hosts.acquire("b", small, 0)
    assert not hosts.has_share("b", small, 1)
    hosts.release(fetch("a", "hog 0", "large"))
    for index in range(2):
        hosts.release(fetch("a", "hog 0", "large"))
        assert not hosts.has_share("a", hogs[1], 10)
        assert hosts.relieved()[0] is small
        assert hosts.acquire("b", small, 1 + index)
        hosts.has_share("b", small, 9)


def test_a_batch_that_ends_is_held_back_no_more() -> None:
    called = Called(per_batch=1, per_host=8)
    hosts, gone = called.hosts, running_batch("gone")
    assert hosts.acquire("a", gone, 0)
    assert not hosts.has_share("a", gone, 1)
    hosts.wait("b", gone, 2)
    hosts.forget(gone)
    hosts.release(fetch("a", "gone"))
    assert hosts.relieved() == []
    assert called.after() == []


def test_a_hosts_slots_are_of_all_servers_together() -> None:
    place = Place(rank=1, count=3)
    called = Called(per_host=8, share=Share(place))
    hosts, running = called.hosts, running_batch("b")
    assert [hosts.acquire("a", running, index) for index in range(4)] == [True, True, True, False]
    hosts.wait("a", running, 3)
    place.count = 2  # one is gone
    assert called.after(TURN_S) == [("b", 3)]


def test_a_slot_that_is_not_this_servers_turn_is_waited_for() -> None:
    place = Place(rank=1, count=2)
    called = Called(per_host=1, share=Share(place))
    hosts, running = called.hosts, running_batch("b")
    assert not hosts.acquire("a", running, 0)
    hosts.wait("a", running, 0)
    assert called.after(TURN_S / 2) == []
    place.now_s = TURN_S
    assert called.after(TURN_S / 2) == [("b", 0)]
    assert hosts.acquire("a", running, 0)


def test_a_hosts_rate_is_of_all_servers_together() -> None:
    place = Place(count=4)
    called = Called(per_host=64, most_per_s=4.0, share=Share(place))
    hosts, running = called.hosts, running_batch("b")
    assert hosts.acquire("a", running, 0)
    for index in (1, 2, 3):
        hosts.wait("a", running, index)
    assert called.after(1.0) == [("b", 1)]
    place.count = 1
    assert called.after(1.3) == [("b", 2), ("b", 3)]


def test_of_tenants_that_wait_the_one_with_least_of_the_host_goes_next() -> None:
    called = Called(per_host=2)
    hosts = called.hosts
    many = [running_batch(f"many {number}", tenant="many") for number in range(100)]
    assert hosts.acquire("a", many[0], 0)
    assert hosts.acquire("a", many[1], 0)
    for running in many:
        hosts.wait("a", running, 1)
    few = running_batch("few", tenant="few")
    hosts.wait("a", few, 0)
    hosts.release(fetch("a", "many 0", tenant="many"))
    assert called.after() == [("few", 0)]


def test_a_slot_that_was_kept_for_one_who_has_more_goes_to_one_who_has_fewer() -> None:
    """What was called waits for workers, and would hold the host's slots meanwhile."""
    called = Called(per_host=2)
    hosts, many, few = called.hosts, running_batch("many", tenant="many"), running_batch("few", tenant="few")
    assert hosts.acquire("a", many, 0)
    assert hosts.acquire("a", many, 1)
    for index in (2, 3, 4):
        hosts.wait("a", many, index)
    for _ in range(2):
        hosts.release(fetch("a", "many", tenant="many"))
    assert called.after() == [("many", 2), ("many", 3)]
    hosts.wait("a", few, 0)
    assert called.after() == [("few", 0)]
    assert hosts.acquire("a", few, 0)
    assert not hosts.acquire("a", many, 2)  # its slot was called off
    hosts.wait("a", many, 2)
    assert hosts.acquire("a", many, 3)
    assert called.after() == []
    hosts.release(fetch("a", "few", tenant="few"))
    assert called.after() == [("many", 2)]  # before those that were never called


def test_places_that_were_kept_at_other_hosts_go_to_a_tenant_that_has_fewer() -> None:
    """Seven hosts' slots are all that a tenant may have, and leave another one the last eighth."""
    called = Called(overall=64, per_tenant=56, per_batch=56, per_host=8)
    hosts, names = called.hosts, [f"host-{number}" for number in range(7)]
    many = [running_batch(f"many {number}", tenant="many") for number in range(2)]
    of_names = [(name, many[place % 2]) for place, name in enumerate(names) for _ in range(8)]
    for index, (name, running) in enumerate(of_names):
        assert hosts.acquire(name, running, index)
    for index, (name, running) in enumerate(of_names):
        hosts.wait(name, running, 100 + index)
    for name, running in of_names:
        hosts.release(fetch(name, running.batch.batch_id, tenant="many"))
    assert len(called.after()) == 56
    few = [running_batch(f"few {number}", tenant="few") for number in range(7)]
    taken = 0
    for place, running in enumerate(few):  # of hosts of its own, each with room
        for index in range(8):
            if hosts.has_share(f"own-{place}", running, index):
                taken += hosts.acquire(f"own-{place}", running, index)
    assert taken == 28
    kept = [index for index, (name, running) in enumerate(of_names) if hosts.has_share(name, running, 100 + index)]
    assert len(kept) == 28
    other = running_batch("other", tenant="other")
    for index in range(4):
        hosts.wait("own-7", other, index)
    assert called.after() == [("other", index) for index in range(4)]
