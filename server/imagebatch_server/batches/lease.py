"""How long a server may act as an owner of batches, by its own monotonic clock alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

MARGIN_S = 1.0
"""So much before its lease may have ended by the database's clock, a server stops."""


class Lease:
    """A lease that its server renews again and again. One thread renews it, any may ask."""

    def __init__(self, ttl_s: float, now: Callable[[], float] = time.monotonic) -> None:
        """`ttl_s` is how long the database lets a renewal last."""
        self._ttl_s = ttl_s
        self._now = now
        self._asked_at = -math.inf
        self._unbroken_since = -math.inf
        self._is_broken = False
        self._term = 0

    @property
    def is_held(self) -> bool:
        """Whether no other server can have taken over what this one owns."""
        return self._now() < self._asked_at + self._ttl_s - MARGIN_S

    @property
    def term(self) -> int | None:
        """Number the times between two breaks; None while the lease is not held."""
        term = self._term  # before the look at the clock: a thaw between the two would answer the next term
        return term if self.is_held else None

    @property
    def may_take_over(self) -> bool:
        """Whether it was renewed without a break for as long as the others' leases last.

        Those who could renew theirs have done so by then, also after the database was away for all.
        """
        return self.is_held and not self._is_broken and self._asked_at - self._unbroken_since >= self._ttl_s

    def begin(self, asked_at: float, database_up_s: float) -> None:
        """Take the first lease, asked for at a moment of `now`.

        A database that has been there for a while was there for the others too, which counts as renewals of one's own.
        """
        self._unbroken_since = asked_at - database_up_s
        self._asked_at = asked_at

    def renew(self, asked_at: float) -> None:
        """Note a renewal that was asked for at a moment of `now`: the database may have granted it as early."""
        if self._is_broken or asked_at >= self._asked_at + self._ttl_s - MARGIN_S:
            self._is_broken = False
            self._unbroken_since = asked_at
            self._term += 1
        self._asked_at = asked_at

    def fail(self) -> None:
        """Note that the database could not be asked, or was lost meanwhile. What was granted before still counts."""
        self._is_broken = True
