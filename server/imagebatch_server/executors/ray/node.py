"""What the server knows of one node: what was given to it, and how much more it wants."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from imagebatch_server.batches.model import Dispatch
from imagebatch_server.executors.attempts.strikes import STRIKES_TO_GO_ALONE
from imagebatch_server.executors.protocol.cluster import LaneState


@dataclass(slots=True, eq=False)
class Flight:
    """A dispatch that has not ended, and how far it has come."""

    dispatch: Dispatch
    number: int = 0
    """Its name at the node; another one each time it is given to one."""
    node: Node | None = None
    """Who has it; None while it waits for one."""
    is_slow: bool = False
    """Whether its image takes long to come."""
    has_begun: bool = False
    """Whether a worker has it."""
    was_fetched: bool = False
    """Whether the slot of its fetch was given back, which happens once."""
    strikes: int = 0
    """Agents that died while they had it, and of what goes alone only those that had nothing else."""
    is_alone: bool = False
    """Whether its node has nothing else."""

    @property
    def goes_alone(self) -> bool:
        """Whether a node is to run nothing else beside it."""
        return self.strikes >= STRIKES_TO_GO_ALONE

    def strike(self) -> None:
        """Note that an agent died that had it, unless it went alone and others had not yet left it so."""
        if self.is_alone or not self.goes_alone:
            self.strikes += 1

    @property
    def is_fetched(self) -> bool:
        """Whether running it begins with a fetch."""
        return self.dispatch.item.image_url is not None


class Node:
    """A node in one session."""

    def __init__(self, name: str, session: int, host: str) -> None:
        self.name = name
        self.session = session
        self.host = host
        self.flights: dict[int, Flight] = {}
        self.alive = 0
        """Workers that take items."""
        self.restarts = 0
        self._stored: Counter[str] = Counter()
        self._fetched: Counter[str] = Counter()
        self._lanes: Mapping[str, LaneState] = {}

    def stands(self, lanes: Mapping[str, LaneState], alive: int, restarts: int) -> bool:
        """Note how it stands now; answers whether there may be more room than before."""
        before = {lane: (self.room(lane), self.room_to_fetch(lane)) for lane in lanes}
        self._lanes, self.alive, self.restarts = lanes, alive, restarts
        return any(
            self.room(lane) > stored or self.room_to_fetch(lane) > fetched for lane, (stored, fetched) in before.items()
        )

    def has(self, lane: str) -> bool:
        """Whether it runs what runs in this lane."""
        return lane in self._lanes

    def room(self, lane: str) -> int:
        """How many more stored images of a lane it wants; below 0 if it has more than it wants."""
        state = self._lanes.get(lane)
        return 0 if state is None else state.stored - self._stored[lane]

    def room_to_fetch(self, lane: str) -> int:
        """How many more images given by URL, likewise."""
        state = self._lanes.get(lane)
        return 0 if state is None else state.fetched - self._fetched[lane]

    def room_for(self, flight: Flight) -> int:
        """How many more of its kind it wants."""
        lane = flight.dispatch.lane
        return self.room_to_fetch(lane) if flight.is_fetched else self.room(lane)

    def first_turn_ms(self, lane: str) -> float:
        """Tell the turn that one of its workers takes next."""
        state = self._lanes.get(lane)
        return math.inf if state is None else state.first_turn_ms

    def last_turn_ms(self, lane: str) -> float:
        """Tell the last turn that waits for one of its workers."""
        state = self._lanes.get(lane)
        return -math.inf if state is None else state.last_turn_ms

    def add(self, flight: Flight) -> None:
        """Give it a dispatch."""
        flight.node = self
        self.flights[flight.number] = flight
        self._count(flight, 1)

    def remove(self, flight: Flight) -> None:
        """Take a dispatch from it."""
        self._count(flight, -1)
        del self.flights[flight.number]
        flight.node, flight.is_slow, flight.is_alone = None, False, False

    def is_slow(self, flight: Flight) -> None:
        """Count the fetch no more: it lends its place."""
        if not flight.is_slow:
            self._count(flight, -1)
            flight.is_slow = True

    def _count(self, flight: Flight, by: int) -> None:
        if not flight.is_fetched:
            self._stored[flight.dispatch.lane] += by
        elif not flight.is_slow:
            self._fetched[flight.dispatch.lane] += by
