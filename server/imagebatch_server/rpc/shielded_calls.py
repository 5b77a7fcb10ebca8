"""Calls whose work goes on to its end although the caller has hung up."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from imagebatch_server.batches.errors import RequestError

log = structlog.get_logger(__name__)

T = TypeVar("T")


class ShieldedCalls:
    """Run the work of calls in tasks of their own, shielded from the cancellation of the call.

    A caller may hang up at any moment, and gRPC then cancels the call's task. But a batch that was committed must also
    be run, a cancellation that was written must reach the scheduler, and what a cut stream had stored must be removed.
    """

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()  # the event loop itself holds tasks only weakly

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for the work, which goes on to its end even if this is cancelled."""
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_unheard_failure)
            raise
        finally:
            # An error's traceback refers to this frame: with the task, it would keep the request until a collection.
            del task

    async def end(self, grace_s: float) -> None:
        """Wait for all work to end, and cancel what has not ended after `grace_s`."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=grace_s)
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)


def _log_unheard_failure(task: asyncio.Task[Any]) -> None:
    """Log why the work failed: its caller has hung up, so nobody else will say it."""
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, RequestError):
        log.info("call.refused_unheard", why=str(error))
    else:
        log.error("call.failed_unheard", exc_info=error)
