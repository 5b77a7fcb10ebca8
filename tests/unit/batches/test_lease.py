"""How long a server may act by its own clock, which the test moves."""

from __future__ import annotations

import pytest
from tests.unit.clock import Clock

from imagebatch_server.batches.lease import MARGIN_S, Lease

TTL_S = 3.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lease(clock: Clock) -> Lease:
    taken = Lease(TTL_S, clock)
    taken.begin(clock.now, database_up_s=0.0)
    return taken


def renewed(lease: Lease, clock: Clock, times: int = 1) -> None:
    for _ in range(times):
        clock.now += 1.0
        lease.renew(clock.now)


def state(lease: Lease) -> tuple[bool, int | None, bool]:
    return lease.is_held, lease.term, lease.may_take_over


def test_none_is_held_before_the_first_is_taken(clock: Clock) -> None:
    lease = Lease(TTL_S, clock)
    assert state(lease) == (False, None, False)


def test_it_ends_before_the_database_says_so_counted_from_when_it_was_asked_for(lease: Lease, clock: Clock) -> None:
    asked_at = clock.now
    clock.now += 1.5  # the answer took so long
    lease.renew(asked_at)
    clock.now = asked_at + TTL_S - MARGIN_S - 0.01
    assert state(lease) == (True, 0, False)
    clock.now = asked_at + TTL_S - MARGIN_S
    assert state(lease) == (False, None, False)


def test_an_unbroken_lease_is_one_term(lease: Lease, clock: Clock) -> None:
    first = lease.term
    renewed(lease, clock, times=10)
    assert lease.term == first


def test_after_a_freeze_there_is_another_term_and_nothing_is_taken_over_for_a_while(lease: Lease, clock: Clock) -> None:
    renewed(lease, clock, times=5)
    assert state(lease) == (True, 0, True)
    clock.now += 60.0
    assert state(lease) == (False, None, False)
    lease.renew(clock.now)
    assert state(lease) == (True, 1, False)
    renewed(lease, clock, times=2)
    assert state(lease) == (True, 1, False)
    renewed(lease, clock)
    assert state(lease) == (True, 1, True)


def test_a_renewal_that_failed_leaves_what_was_granted_and_makes_others_wait(lease: Lease, clock: Clock) -> None:
    renewed(lease, clock, times=5)
    lease.fail()
    assert state(lease) == (True, 0, False)
    renewed(lease, clock)
    assert state(lease) == (True, 1, False)
    renewed(lease, clock, times=3)
    assert state(lease) == (True, 1, True)


@pytest.mark.parametrize(("up_s", "may"), [(0.0, False), (TTL_S - 0.1, False), (TTL_S, True), (3_600.0, True)])
def test_a_new_server_takes_over_at_once_where_the_database_was_there_for_the_others(
    clock: Clock, up_s: float, may: bool
) -> None:
    lease = Lease(TTL_S, clock)
    lease.begin(clock.now, up_s)
    assert lease.may_take_over == may
