"""An executor whose attempts are traced."""

from __future__ import annotations

from imagebatch_server.batches.model import Dispatch
from imagebatch_server.batches.ports.execution import DispatchEvents, Executor
from imagebatch_server.tracing.items import ItemTracing, TracedEvents


class TracedExecutor:
    """Pass all on to another `Executor`, and note what is submitted and what comes of it."""

    def __init__(self, tracing: ItemTracing, executor: Executor) -> None:
        self._tracing = tracing
        self._executor = executor
        self.stop = executor.stop
        self.lane = executor.lane
        self.forget = executor.forget
        self.withdraw = executor.withdraw
        self.room = executor.room
        self.room_to_fetch = executor.room_to_fetch
        self.first_turn_ms = executor.first_turn_ms
        self.last_turn_ms = executor.last_turn_ms

    @property
    def alive(self) -> int:
        return self._executor.alive

    @property
    def restarts(self) -> int:
        return self._executor.restarts

    @property
    def trouble(self) -> str | None:
        return self._executor.trouble

    async def start(self, events: DispatchEvents) -> None:
        await self._executor.start(TracedEvents(self._tracing, events))

    def submit(self, dispatch: Dispatch) -> None:
        self._tracing.dispatched(dispatch)
        self._executor.submit(dispatch)
