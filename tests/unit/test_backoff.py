"""Waits grow with failures in a row, up to a bound, and begin anew after a success."""

from __future__ import annotations

from imagebatch_server.backoff import Backoff


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next_s() == 0.5


def test_any_number_of_failures_has_a_wait() -> None:
    assert Backoff(0.5, 30.0).after(1) == 0.5
    assert Backoff(0.5, 30.0).after(1_000_000) == 30.0
