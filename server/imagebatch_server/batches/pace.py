"""How fast a host may be asked that says when it is too much: learned by its answers, as TCP learns a path's width."""

from __future__ import annotations

FIRST_WAIT_S = 1.0
LONGEST_BACKOFF_S = 30.0
LONGEST_WAIT_S = 300.0
"""Whoever wants to be left alone is asked again after this time at the latest."""

LEAST_ANSWERS = 4
"""What a rate is measured by."""

CAREFUL = 0.9
MOST_TRUSTED = 1.5
"""A host that complains is asked at the rate that it was measured to have, but no more carefully than this part of the
rate at which it complained, for one that hoards nothing gives less than its rate to whoever is slower; and then at no
more than so many times what was measured.
"""

FASTER = 0.1
FIRST_SETTLED_S = 4.0
SETTLED_S = 20.0
SETTLED_HOLDS = 5.0
"""A rate grows by this part in so long a time, or in so many times what the host wants to be left alone; by eight times
as much in twice the time: it stays about where it is good, and is soon where there is much more to be had.
"""

AWAY_S = 90.0
"""A host that answers nothing for so long was away, which is no rate."""

UNPACED_S = 0.005
"""Requests that may be so close together need no pace."""

IDLE_S = 1.0
"""A host without a pace that was not asked for so long was idle."""


class Pace:
    """When one host may be asked again. Times are on one monotonic clock, in seconds.

    A host that says it is asked too much (429, or 503 with Retry-After) is held: not asked for as long as it says, or a
    little longer each time if it does not say. What it answered well from the end of one hold to the end of the next is
    its rate, whatever it hoards or counts by: at both it had just as much left. It is asked at that rate, and faster by
    degrees for as long as it does not complain. Time in which nobody wanted to ask it tells nothing and doesn't count.
    """

    def __init__(self) -> None:
        self._least_apart_s = 0.0
        self._next_at = 0.0
        self._held_until = 0.0
        self._complaints = 0
        self._complained_at = 0.0
        self._silent_since: float | None = None
        # What is measured.
        self._measured_from: float | None = None
        self._answers = 0
        self._has_complained = False
        self._too_close_s = 0.0
        """How far requests were apart when it complained."""
        # What was learned.
        self._learned_apart_s: float | None = None
        self._grows_from = 0.0
        self._settled_s = FIRST_SETTLED_S

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
        self._least_apart_s = 1.0 / most_per_s if most_per_s else 0.0

    def begin(self, now: float) -> None:
        """Note that a request begins."""
        if self._measured_from is None:
            self._measured_from = now
        elif self._has_complained:
            self._learn(now, self._measured_from)
        elif (idle_s := now - self.ready_at) > (self._apart_s(now) or IDLE_S):
            self._measured_from += idle_s
            self._grows_from += idle_s
        self._next_at = max(now, self._next_at) + self._apart_s(now)

    def answered(self, now: float) -> None:
        """Note a good answer."""
        self._complaints = 0
        self._silent_since = None
        self._answers += 1

    def complained(self, now: float, retry_after_s: float | None) -> None:
        """Note that the host wants to be left alone for so long, or does not say how long."""
        if self._silent_since is None:
            self._silent_since = now
        if now >= self._held_until:  # else it is one of several that were under way
            self._complaints += 1
            self._complained_at = now
            self._too_close_s = self._apart_s(now)
        self._held_until = max(self._held_until, now + self._wait_s(retry_after_s))
        self._next_at = 0.0
        self._has_complained = True

    def _wait_s(self, retry_after_s: float | None) -> float:
        """As long as it says; but when it complains again and again, no shorter than if it said nothing."""
        if retry_after_s is None:
            return self._backoff_s(self._complaints)
        return min(max(retry_after_s, self._backoff_s(self._complaints - 1)), LONGEST_WAIT_S)

    def _backoff_s(self, times: int) -> float:
        return min(FIRST_WAIT_S * 2.0 ** (times - 1), LONGEST_BACKOFF_S) if times else 0.0

    def _learn(self, now: float, measured_from: float) -> None:
        """Set the pace by what was answered until the end of the hold; by too little, go on measuring."""
        self._has_complained = False
        hold_s = self._held_until - self._complained_at
        self._grows_from += hold_s
        if self._held_until - (self._silent_since or self._complained_at) > AWAY_S:
            self._measured_from, self._answers = now, 0
            return
        if self._answers < LEAST_ANSWERS:
            return
        measured_s = (self._held_until - measured_from) / self._answers
        if self._too_close_s:
            careful_s = max(min(measured_s, self._too_close_s / CAREFUL), measured_s / MOST_TRUSTED)
            self._learned_apart_s = max(careful_s, self._too_close_s)
            self._settled_s = max(SETTLED_S, SETTLED_HOLDS * hold_s)
        else:
            self._learned_apart_s = measured_s
            self._settled_s = max(FIRST_SETTLED_S, hold_s)
        self._grows_from = self._held_until
        self._measured_from, self._answers = now, 0

    def _apart_s(self, now: float) -> float:
        """Answer how far requests are to be apart."""
        if self._learned_apart_s is None:
            return self._least_apart_s
        settled = max(0.0, now - self._grows_from) / self._settled_s
        apart_s = self._learned_apart_s / (1.0 + FASTER * settled**3)
        if apart_s <= UNPACED_S:
            self._learned_apart_s = None
            return self._least_apart_s
        return max(self._least_apart_s, apart_s)
