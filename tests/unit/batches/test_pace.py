"""A pace finds the rate that a host bears, whatever way the host has of limiting it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from imagebatch_server.batches.pace import LONGEST_BACKOFF_S, LONGEST_WAIT_S, Pace

LATENCY_S = 0.01
SLOTS = 8


class Bucket:
    """Let `rate` a second through, and `burst` at a time."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = 0.0

    def __call__(self, now: float) -> bool:
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Window:
    """Let `rate` through in each second by the clock."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._second = -1
        self._taken = 0

    def __call__(self, now: float) -> bool:
        if int(now) != self._second:
            self._second, self._taken = int(now), 0
        self._taken += 1
        return self._taken <= self._rate


def run(pace: Pace, lets_through: Callable[[float], bool], seconds: float, retry_after_s: float | None) -> list[float]:
    """Ask as often as the pace allows, with SLOTS under way at most; answers the times of good answers."""
    now, good = 0.0, []
    under_way: list[tuple[float, bool]] = []
    while now < seconds:
        for entry in [entry for entry in under_way if entry[0] <= now]:
            under_way.remove(entry)
            if entry[1]:
                pace.answered(now)
                good.append(now)
            else:
                pace.complained(now, retry_after_s)
        slots = SLOTS if pace.silent_since is None else 1
        while len(under_way) < slots and pace.ready_at <= now:
            pace.begin(now)
            under_way.append((now + LATENCY_S, lets_through(now)))
        now = max(now + 0.001, min([at for at, _ in under_way], default=pace.ready_at))
    return good


@pytest.mark.parametrize(
    ("lets_through", "retry_after_s"),
    [
        (Bucket(5, burst=5), 1.0),
        (Bucket(5, burst=20), 1.0),
        (Bucket(5, burst=1), 1.0),
        (Bucket(5, burst=5), None),
        (Window(5), 1.0),
        (Bucket(50, burst=50), 1.0),
    ],
    ids=["five a second", "a large burst", "no burst", "without a word", "by the clock", "fifty a second"],
)
def test_a_rate_is_found_and_used(lets_through: Callable[[float], bool], retry_after_s: float | None) -> None:
    rate = 50 if isinstance(lets_through, Bucket) and lets_through._rate == 50 else 5
    good = run(Pace(), lets_through, 200.0, retry_after_s)
    assert len(good) >= 0.75 * rate * 200


def test_a_host_that_has_recovered_is_asked_as_fast_as_it_answers() -> None:
    pace = Pace()
    good = run(pace, lambda now: now > 60.0, 100.0, 5.0)
    assert 60.0 < good[0] <= 60.0 + LONGEST_BACKOFF_S + LATENCY_S
    assert len(good) > 1_000


def test_a_host_that_only_complains_is_asked_ever_more_rarely() -> None:
    pace, asked = Pace(), []
    now = 0.0
    for _ in range(12):
        now = max(now, pace.ready_at)
        asked.append(now)
        pace.begin(now)
        pace.complained(now, 0.0)
    waits = [after - before for before, after in pairwise(asked)]
    assert waits[0] == 0.0
    assert waits[1:5] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == LONGEST_BACKOFF_S


def test_nobody_is_waited_for_longer_than_they_may_be() -> None:
    pace = Pace()
    pace.begin(0.0)
    pace.complained(0.0, 86_400.0)
    assert pace.ready_at == LONGEST_WAIT_S
    assert pace.is_held(LONGEST_WAIT_S - 1)


def test_the_operators_rate_is_never_exceeded() -> None:
    pace = Pace()
    pace.limit(2.0)
    good = run(pace, lambda _now: True, 60.0, None)
    assert 110 <= len(good) <= 121


def test_a_limit_that_rises_leaves_what_was_learned() -> None:
    pace = Pace()
    pace.limit(10.0)
    learned = run(pace, Bucket(5, burst=5), 100.0, 1.0)
    pace.limit(20.0)
    assert pace._apart_s >= 1 / 10
    assert learned
    pace.limit(1.0)
    assert pace._apart_s == 1.0
