"""The executor of a server: its workers, and beside them the process of the asynchronous operations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from imagebatch_server.batches.model import Dispatch
from imagebatch_server.batches.ports.execution import DispatchEvents


class Lane(StrEnum):
    """Where an attempt runs. What waits for one lane does not hold up the other."""

    WORKERS = "workers"
    ASYNCHRONOUS = "asynchronous"


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

    def __init__(
        self,
        workers: LaneExecutor,
        asynchronous: LaneExecutor,
        is_asynchronous: Callable[[str, bytes | None], bool],
    ) -> None:
        """`is_asynchronous` says of an operation with its parameters where it runs."""
        self._executors: dict[str, LaneExecutor] = {Lane.WORKERS: workers, Lane.ASYNCHRONOUS: asynchronous}
        self._is_asynchronous = is_asynchronous

    @property
    def alive(self) -> int:
        """Workers whose child takes items; without the asynchronous process, which is there when it is needed."""
        return self._executors[Lane.WORKERS].alive

    @property
    def restarts(self) -> int:
        """Workers that were replaced, in both lanes."""
        return sum(executor.restarts for executor in self._executors.values())

    async def start(self, events: DispatchEvents) -> None:
        """Start the workers. Raises WorkersCannotStart."""
        for executor in self._executors.values():
            await executor.start(events)

    async def stop(self, grace_s: float) -> None:
        """Stop both, each with the grace."""
        await asyncio.gather(*(executor.stop(grace_s) for executor in self._executors.values()))

    def lane(self, operation: str, parameters: bytes | None) -> str:
        """Where an operation with these parameters runs."""
        return Lane.ASYNCHRONOUS if self._is_asynchronous(operation, parameters) else Lane.WORKERS

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
