"""One server's part of what all servers on a database may have together, such as connections to one image host."""

from __future__ import annotations

from typing import Protocol

TURN_S = 10.0
"""What can't be divided goes round: who has it changes so often."""


class Place(Protocol):
    """Where a server stands among those that live: what of the port `Servers` is needed here."""

    @property
    def rank(self) -> int:
        """0 for the oldest."""

    @property
    def count(self) -> int:
        """How many there are."""

    def time_s(self) -> float:
        """Seconds on a clock that all of them read, the database's."""


class Share:
    """This server's part. Parts add up to the whole, except for a moment when servers come and go."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def of(self, limit: int) -> int:
        """Answer how many of `limit` are this server's; the rest that can't be divided goes round by turns."""
        whole, rest = divmod(limit, self._place.count)
        if not rest:
            return whole
        turn = int(self._place.time_s() // TURN_S)
        return whole + ((self._place.rank + turn) % self._place.count < rest)

    def of_rate(self, per_s: float | None) -> float | None:
        """Answer how much of a rate is this server's; None for no limit."""
        return None if per_s is None else per_s / self._place.count

    def changes_in_s(self) -> float | None:
        """Answer when to ask again, for there may be more; None if this server has everything."""
        if self._place.count == 1:
            return None
        return TURN_S - self._place.time_s() % TURN_S
