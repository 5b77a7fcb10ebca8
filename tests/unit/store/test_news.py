"""Notifications: how they are put together, and whether they arrive."""

from __future__ import annotations

import pytest
from tests.unit.clock import Clock

from imagebatch_server.store.listening import OVERDUE_S, PROBE_EVERY_S, Hearing
from imagebatch_server.store.news import PAYLOAD_BYTES, payloads


@pytest.mark.parametrize("count", [1, 2, 70, 1_000])
def test_lines_fit_into_payloads_and_none_is_lost(count: int) -> None:
    lines = [f"recorded {'t' * 63} 0195d2f0-0000-7000-8000-{number:012}" for number in range(count)]
    made = list(payloads("a server", lines))
    assert all(len(payload) <= PAYLOAD_BYTES for payload in made)
    assert all(payload.split("\n")[0] == "a server" for payload in made)
    assert [line for payload in made for line in payload.split("\n")[1:]] == lines
    assert len(made) == -(-count // 71)


def state(hearing: Hearing) -> str:
    """Say how it stands."""
    states = {"due": hearing.is_due, "sure": hearing.is_sure, "lost": hearing.is_lost}
    return " ".join(name for name, is_so in states.items() if is_so)


def test_a_probe_that_comes_back_proves_that_one_hears() -> None:
    clock = Clock()
    hearing = Hearing(clock)
    assert state(hearing) == "due"
    number = hearing.sent()
    assert state(hearing) == ""
    hearing.came_back(number)
    assert state(hearing) == "sure"
    clock.now += PROBE_EVERY_S
    assert state(hearing) == "due sure"


def test_a_probe_that_does_not_come_back_is_lost() -> None:
    clock = Clock()
    hearing = Hearing(clock)
    hearing.came_back(hearing.sent())
    hearing.sent()
    clock.now += OVERDUE_S
    assert state(hearing) == "due sure"
    hearing.sent()  # another one makes the first no younger
    clock.now += 0.1
    assert state(hearing) == "sure lost"


def test_another_connection_proves_nothing_of_this_one() -> None:
    hearing = Hearing(Clock())
    earlier = hearing.sent()
    hearing.begin()
    number = hearing.sent()
    hearing.came_back(earlier)
    assert state(hearing) == ""
    hearing.came_back(number)
    assert state(hearing) == "sure"
