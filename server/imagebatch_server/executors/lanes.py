"""The executor of a server: its workers, and beside them the process of the asynchronous operations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum

from imagebatch_server.batches.model import Dispatch
from imagebatch_server.batches.ports import DispatchEvents
from imagebatch_server.executors.local import LocalExecutor


class Lane(StrEnum):
    """Where an attempt runs. What waits for one lane does not hold up the other."""

    WORKERS = "workers"
    ASYNCHRONOUS = "asynchronous"


class Lanes:
    """Implements the `Executor` port."""

    def __init__(
        self,
        workers: LocalExecutor,
        asynchronous: LocalExecutor,
        is_asynchronous: Callable[[str, bytes | None], bool],
    ) -> None:
        """`is_asynchronous` says of an operation with its parameters where it runs."""
        self._executors: dict[str, LocalExecutor] = {Lane.WORKERS: workers, Lane.ASYNCHRONOUS: asynchronous}
        self._is_asynchronous = is_asynchronous

    @property
    def workers_alive(self) -> int:
        """Workers whose child takes items; without the asynchronous process, which is there when it is needed."""
        return self._executors[Lane.WORKERS].workers_alive

    @property
    def workers_restarted(self) -> int:
        """Children that were replaced, in both lanes."""
        return sum(executor.workers_restarted for executor in self._executors.values())

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

    def room(self, lane: str) -> int:
        """How many more stored images a lane wants."""
        return self._executors[lane].room()

    def room_to_fetch(self, lane: str) -> int:
        """How many more fetches a lane wants."""
        return self._executors[lane].room_to_fetch()
