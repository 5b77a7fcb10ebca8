"""Who goes next among members of different weight: stride scheduling.

A member's pass moves on by what it is given, divided by its weight; the member with the lowest pass goes next
(Waldspurger and Weihl, "Stride Scheduling", 1995).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from enum import IntEnum, auto
from itertools import count
from typing import Generic, TypeVar

M = TypeVar("M", bound=Hashable)


class Kind(IntEnum):
    """What a turn needs room for. One kind can go on while the room of the other is taken.

    Numbers, because each item has them looked up, and other enums are hashed by a function in Python.
    """

    STORED = auto()
    FETCHED = auto()


@dataclass(slots=True)
class _Place:
    """Where a member stands. `queued` has, for each kind that it waits for, the number of its entry in the queue."""

    pass_ms: float = float("-inf")
    weight: float = 1.0
    queued: dict[Kind, int] = field(default_factory=dict)


class Turns(Generic[M]):
    """Members that wait for a turn of one kind or of both."""

    def __init__(self, first_turn_ms: Callable[[], float] = lambda: math.inf) -> None:
        """`first_turn_ms` tells the pass of what comes next of all that had a turn; inf if nothing waits any more."""
        self._first_turn_ms = first_turn_ms
        self._places: dict[M, _Place] = {}
        self._queues: dict[Kind, list[tuple[float, int, M]]] = {kind: [] for kind in Kind}
        self._numbers = count()
        self._now_ms = 0.0

    def enter(self, member: M, kind: Kind, weight: float, saved_ms: float = 0.0) -> None:
        """Let a member, of a weight that may have changed, wait for a turn of a kind.

        If it waited for none, it starts at the pass being served, so that it goes next; or before others that wait, by
        the time that it let them have meanwhile, but at most by `saved_ms` of its own time. What had a turn and still
        waits counts too.
        """
        place = self._places.get(member)
        if place is None:
            place = self._places[member] = _Place()
        place.weight = weight
        if not place.queued:
            place.pass_ms = max(place.pass_ms, self._earliest_ms(place, saved_ms / weight))
        if kind not in place.queued:
            self._push(member, place, kind)

    def _earliest_ms(self, place: _Place, saved_ms: float) -> float:
        if not any(self._queues.values()):
            return self._now_ms
        earliest_ms = self._now_ms - saved_ms
        if place.pass_ms >= earliest_ms:
            return earliest_ms
        return min(self._now_ms, self._first_turn_ms()) - saved_ms

    def leave(self, member: M) -> None:
        """Forget a member."""
        self._places.pop(member, None)

    @property
    def is_empty(self) -> bool:
        """Whether there is no member."""
        return not self._places

    def waits(self, kind: Kind) -> bool:
        """Whether any member may be waiting for a turn of a kind."""
        return bool(self._queues[kind])

    def next(self, kinds: Collection[Kind], before_ms: float = math.inf) -> tuple[M, Kind] | None:
        """Take out the member whose turn it is, among those that wait for one of these kinds; None if it is not due."""
        while True:
            waited_for = [(self._queues[kind][0], kind) for kind in kinds if self._queues[kind]]
            if not waited_for:
                return None
            (queued_ms, number, member), kind = min(waited_for)
            heapq.heappop(self._queues[kind])
            place = self._places.get(member)
            if place is None or place.queued.get(kind) != number:
                continue  # it left
            if queued_ms < place.pass_ms:
                self._push(member, place, kind)  # it had a turn of the other kind meanwhile
                continue
            if place.pass_ms >= before_ms:
                self._push(member, place, kind)
                return None
            del place.queued[kind]
            self._now_ms = max(self._now_ms, place.pass_ms)
            return member, kind

    def advance(self, member: M, work_ms: float) -> float:
        """Move a member's pass by what it was given or, negative, did not need after all; answers where it stood."""
        place = self._places[member]
        stood_ms = place.pass_ms
        place.pass_ms = stood_ms + work_ms / place.weight
        return stood_ms

    def _push(self, member: M, place: _Place, kind: Kind) -> None:
        place.queued[kind] = next(self._numbers)
        heapq.heappush(self._queues[kind], (place.pass_ms, place.queued[kind], member))
