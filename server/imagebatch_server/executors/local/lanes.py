"""The executor of a server: its workers, and beside them the process of the asynchronous operations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from imagebatch_server.batches.model import Dispatch
from imagebatch_server.batches.ports.execution import DispatchEvents


class Lane(StrEnum):
    """Where an attempt runs. What waits for one lane does not hold up the other."""

    WORKERS = "workers"
    ASYNCHRONOUS = "asynchronous"


def with_resources(lane: Lane, resources: Mapping[str, float]) -> str:
    """Name the lane of what asks for resources of a cluster's nodes: `workers`, or `workers:num_gpus=1`."""
    asked = ",".join(f"{name}={amount:g}" for name, amount in sorted(resources.items()))
    return f"{lane.value}:{asked}" if asked else lane.value


class LaneExecutor(Protocol):
    """An executor that knows one lane only."""

    @property
    def alive(self) -> int:
        """Workers that take items."""

    @property
    def restarts(self) -> int:
        """Workers that were replaced."""

    async def start(self, events: DispatchEvents) -> None:
        """Start. Raises WorkersCannotStart."""

    async def stop(self, grace_s: float) -> None:
        """Stop, as the port's `stop` says."""

    def submit(self, dispatch: Dispatch) -> None:
        """Take one attempt."""

    def forget(self, dispatch: Dispatch) -> None:
        """Drop an attempt."""

    def withdraw(self, dispatch: Dispatch) -> bool:
        """Drop an attempt that no worker has; answers whether it was dropped."""

    def room(self) -> int:
        """How many more stored images are wanted."""

    def room_to_fetch(self) -> int:
        """How many more fetches are wanted."""

    @property
    def first_turn_ms(self) -> float:
        """The turn that a worker takes next; inf if nothing is ready."""

    @property
    def last_turn_ms(self) -> float:
        """The last turn that waits; -inf where items are known to be quick."""


class Lanes:
    """Implement the `Executor` port."""

    def __init__(self, executors: Mapping[str, LaneExecutor], lane: Callable[[str, bytes | None], str]) -> None:
        """`lane` says of an operation with its parameters where it runs."""
        self._executors = executors
        self._lane = lane

    def lanes(self) -> Sequence[str]:
        """List the lanes there are."""
        return list(self._executors)

    @property
    def alive(self) -> int:
        """Workers whose child takes items; without asynchronous processes, which are there when they are needed."""
        return sum(one.alive for lane, one in self._executors.items() if not lane.startswith(Lane.ASYNCHRONOUS))

    @property
    def restarts(self) -> int:
        """Workers that were replaced, in all lanes."""
        return sum(executor.restarts for executor in self._executors.values())

    @property
    def trouble(self) -> str | None:
        """None: workers of this machine are started again until they come up."""
        return None

    async def start(self, events: DispatchEvents) -> None:
        """Start the workers. Raises WorkersCannotStart."""
        for executor in self._executors.values():
            await executor.start(events)

    async def stop(self, grace_s: float) -> None:
        """Stop all, each with the grace."""
        await asyncio.gather(*(executor.stop(grace_s) for executor in self._executors.values()))

    def lane(self, operation: str, parameters: bytes | None) -> str:
        """Where an operation with these parameters runs."""
        return self._lane(operation, parameters)

    def submit(self, dispatch: Dispatch) -> None:
        """Take one attempt."""
        self._executors[dispatch.lane].submit(dispatch)

    def forget(self, dispatch: Dispatch) -> None:
        """Drop an attempt."""
        self._executors[dispatch.lane].forget(dispatch)

    def withdraw(self, dispatch: Dispatch) -> bool:
        """Drop an attempt that no worker has; answers whether it was dropped."""
        return self._executors[dispatch.lane].withdraw(dispatch)

    def room(self, lane: str) -> int:
        """How many more stored images a lane wants."""
        return self._executors[lane].room()

    def room_to_fetch(self, lane: str) -> int:
        """How many more fetches a lane wants."""
        return self._executors[lane].room_to_fetch()

    def first_turn_ms(self, lane: str) -> float:
        """Tell the turn that a lane's worker takes next; inf if nothing is ready."""
        return self._executors[lane].first_turn_ms

    def last_turn_ms(self, lane: str) -> float:
        """Tell the last turn that waits for a lane's worker; -inf where items are known to be quick."""
        return self._executors[lane].last_turn_ms
