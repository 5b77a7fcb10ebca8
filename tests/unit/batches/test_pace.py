"""A pace finds the rate that a host bears, whatever way the host has of limiting it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
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
    """Let so many through in each stretch of time by the clock."""

    def __init__(self, most: int, seconds: float = 1.0) -> None:
        self._most = most
        self._seconds = seconds
        self._window = -1
        self._taken = 0

    def __call__(self, now: float) -> bool:
        window = int(now / self._seconds)
        if window != self._window:
            self._window, self._taken = window, 0
        self._taken += 1
        return self._taken <= self._most


@dataclass
class Answers:
    good: list[float] = field(default_factory=list)
    """When each came."""
    refused: int = 0


def run(
    pace: Pace,
    lets_through: Callable[[float], bool],
    until_s: float,
    retry_after_s: float | None,
    *,
    from_s: float = 0.0,
) -> Answers:
    """Ask as often as the pace allows, with SLOTS under way at most."""
    now, answers = from_s, Answers()
    under_way: deque[tuple[float, bool]] = deque()
    while now < until_s:
        while under_way and under_way[0][0] <= now:
            if under_way.popleft()[1]:
                pace.answered(now)
                answers.good.append(now)
            else:
                pace.complained(now, retry_after_s)
                answers.refused += 1
        slots = SLOTS if pace.silent_since is None else 1
        while len(under_way) < slots and pace.ready_at <= now:
            pace.begin(now)
            under_way.append((now + LATENCY_S, lets_through(now)))
        next_answer_at = under_way[0][0] if under_way else math.inf
        now = max(now, min(next_answer_at, pace.ready_at if len(under_way) < slots else math.inf))
    return answers


@pytest.mark.parametrize(
    ("lets_through", "rate", "retry_after_s", "share"),
    [
        (Bucket(5, burst=5), 5, 1.0, 0.95),
        (Bucket(5, burst=20), 5, 1.0, 0.95),
        (Bucket(5, burst=5), 5, None, 0.95),
        (Bucket(5, burst=5), 5, 0.0, 0.95),
        (Bucket(50, burst=50), 50, 1.0, 0.95),
        (Bucket(0.5, burst=1), 0.5, 2.0, 0.8),
        (Bucket(5, burst=1), 5, 1.0, 0.8),
        (Window(5), 5, 1.0, 0.85),
        (Window(300, 60.0), 5, None, 0.9),
    ],
    ids=[
        "five a second",
        "a large burst",
        "without a word",
        "at once again",
        "fifty a second",
        "one in two seconds",
        "no burst",
        "by the clock",
        "by the minute",
    ],
)
def test_a_rate_is_found_and_used(
    lets_through: Callable[[float], bool], rate: float, retry_after_s: float | None, share: float
) -> None:
    answers = run(Pace(), lets_through, 400.0, retry_after_s)
    assert len(answers.good) >= share * rate * 400
    assert answers.refused <= len(answers.good) / 3


def test_a_thousand_images_come_at_the_hosts_rate() -> None:
    answers = run(Pace(), Bucket(5, burst=5), 400.0, 1.0)
    assert answers.good[999] <= 1.1 * (1_000 - 5) / 5


def test_a_rate_that_falls_and_rises_is_followed() -> None:
    fast, slow = Bucket(20, burst=20), Bucket(2, burst=2)
    good = run(Pace(), lambda now: (slow if 100.0 <= now < 200.0 else fast)(now), 400.0, 1.0).good
    assert sum(110.0 <= at < 200.0 for at in good) >= 0.8 * 2 * 90
    assert sum(300.0 <= at < 400.0 for at in good) >= 0.9 * 20 * 100


def test_time_in_which_nobody_asked_tells_nothing_of_a_host() -> None:
    pace, host = Pace(), Bucket(5, burst=5)
    run(pace, host, 60.0, 1.0)
    again = run(pace, host, 3_660.0, 1.0, from_s=3_600.0)
    assert len(again.good) >= 0.9 * 5 * 60
    assert again.refused <= 10


@pytest.mark.parametrize(("retry_after_s", "back_at"), [(1.0, 3_600.0), (120.0, 220.0)])
def test_a_host_that_was_away_is_no_slow_one(retry_after_s: float, back_at: float) -> None:
    pace, host = Pace(), Bucket(5, burst=5)
    run(pace, host, 100.0, 1.0)
    run(pace, lambda _now: False, back_at, retry_after_s, from_s=100.0)
    good = run(pace, host, back_at + 200.0, 1.0, from_s=back_at).good
    assert len(good) >= 0.85 * 5 * (200 - LONGEST_BACKOFF_S)


def test_a_host_that_has_recovered_is_asked_as_fast_as_it_answers() -> None:
    pace = Pace()
    good = run(pace, lambda now: now > 60.0, 100.0, 5.0).good
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
    assert 110 <= len(run(pace, lambda _now: True, 60.0, None).good) <= 121


def test_a_limit_that_rises_leaves_what_was_learned() -> None:
    pace, host = Pace(), Bucket(5, burst=5)
    pace.limit(10.0)
    run(pace, host, 100.0, 1.0)
    pace.limit(20.0)
    assert run(pace, host, 110.0, 1.0, from_s=100.0).refused <= 2
    pace.limit(1.0)
    assert len(run(pace, host, 130.0, 1.0, from_s=110.0).good) <= 22
