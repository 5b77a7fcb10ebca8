"""How fast a host may be asked that says when it is too much: learned by its answers, as TCP learns a path's width."""

from __future__ import annotations

FIRST_WAIT_S = 1.0
LONGEST_BACKOFF_S = 30.0
LONGEST_WAIT_S = 300.0
"""Whoever wants to be left alone is asked again after this time at the latest."""

TRIAL_S = 2.0
TRIAL_ANSWERS = 4
"""A pace has proved itself by so many good answers over so long a time."""

FASTER = 1.25
SETTLED_S = 30.0
A_LITTLE_FASTER = 1.1
"""Once a pace was too fast, the one before it is kept for so long, and then only a little more is tried."""

UNPACED_S = 0.005
"""Requests that may be so close together need no pace."""


class Pace:
    """When one host may be asked again. Times are on one monotonic clock, in seconds.

    A host that says it is asked too much (429, or 503 with Retry-After) is held: not asked for as long as it says, or a
    little longer each time if it does not say. What it answered well until then tells its rate, at which it is asked
    from then on, faster by degrees for as long as it does not complain.
    """

    def __init__(self) -> None:
        self._least_apart_s = 0.0
        self._apart_s = 0.0
        self._proved_apart_s: float | None = None
        self._next_at = 0.0
        self._held_until = 0.0
        self._complaints = 0
        self._complained_at = 0.0
        self._silent_since: float | None = None
        # The trial: what was answered at this pace. It is closed by a complaint, and then takes what was under way.
        self._trial_from: float | None = None
        self._trial_answers = 0
        self._trial_is_closed = False
        self._faster_by = FASTER
        self._faster_from = 0.0

    @property
    def ready_at(self) -> float:
        """When the next request may begin."""
        return max(self._next_at, self._held_until)

    def is_held(self, now: float) -> bool:
        """Tell whether it wants to be left alone."""
        return now < self._held_until

    @property
    def silent_since(self) -> float | None:
        """Since when it has done nothing but complain; None if it answers."""
        return self._silent_since

    def limit(self, most_per_s: float | None) -> None:
        """Take the operator's limit, as far as it is this server's at this time; None for none."""
        least_apart_s = 1.0 / most_per_s if most_per_s else 0.0
        is_at_limit = self._apart_s == self._least_apart_s  # it has learned nothing, or no more than that
        self._apart_s = least_apart_s if is_at_limit else max(self._apart_s, least_apart_s)
        self._least_apart_s = least_apart_s

    def begin(self, now: float) -> None:
        """Note that a request begins."""
        if self._trial_from is None or (self._trial_is_closed and now >= self._held_until):
            self._begin_trial(now)
        self._next_at = max(now, self._next_at) + self._apart_s

    def answered(self, now: float) -> None:
        """Note a good answer."""
        self._complaints = 0
        self._silent_since = None
        self._trial_answers += 1
        if self._trial_is_closed:
            self._learn()  # it was under way when the host complained, and belongs to what the host can do
        elif self._trial_from is not None and self._has_proved_itself(now - self._trial_from):
            self._go_faster(now)

    def complained(self, now: float, retry_after_s: float | None) -> None:
        """Note that the host wants to be left alone for so long, or does not say how long."""
        if self._silent_since is None:
            self._silent_since = now
        if now >= self._held_until:  # else it is one of several that were under way
            self._complaints += 1
            self._complained_at = now
            if self._proved_apart_s is not None and self._apart_s >= self._proved_apart_s:
                self._proved_apart_s = None  # it was good for a while, and is not any more
        self._held_until = max(self._held_until, now + self._wait_s(retry_after_s))
        self._next_at = 0.0
        self._trial_is_closed = True
        self._learn()

    def _wait_s(self, retry_after_s: float | None) -> float:
        """As long as it says; but when it complains again and again, no shorter than if it said nothing."""
        if retry_after_s is None:
            return self._backoff_s(self._complaints)
        return min(max(retry_after_s, self._backoff_s(self._complaints - 1)), LONGEST_WAIT_S)

    def _backoff_s(self, times: int) -> float:
        return min(FIRST_WAIT_S * 2.0 ** (times - 1), LONGEST_BACKOFF_S) if times else 0.0

    def _learn(self) -> None:
        if self._proved_apart_s is not None:
            self._apart_s = max(self._least_apart_s, self._proved_apart_s)
            self._faster_by, self._faster_from = A_LITTLE_FASTER, self._held_until + SETTLED_S
        elif self._trial_answers and self._trial_from is not None:
            measured_s = (self._held_until - self._trial_from) / self._trial_answers
            asked_s = self._held_until - self._complained_at
            self._apart_s = max(self._least_apart_s, min(measured_s, asked_s))
            self._faster_by, self._faster_from = FASTER, 0.0

    def _has_proved_itself(self, took_s: float) -> bool:
        return took_s >= TRIAL_S and self._trial_answers >= TRIAL_ANSWERS

    def _go_faster(self, now: float) -> None:
        self._begin_trial(now)
        if self._apart_s > self._least_apart_s and now >= self._faster_from:
            self._proved_apart_s = self._apart_s
            faster_s = self._apart_s / self._faster_by
            self._apart_s = max(self._least_apart_s, faster_s if faster_s > UNPACED_S else 0.0)

    def _begin_trial(self, now: float) -> None:
        self._trial_from = now
        self._trial_answers = 0
        self._trial_is_closed = False
