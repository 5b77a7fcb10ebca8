"""Work that is carried to its end although the call that asked for it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from imagebatch_server.batches.errors import RequestError

log = structlog.get_logger(__name__)

T = TypeVar("T")


class UnbrokenWork:
    """Runs coroutines in tasks of their own.

    A caller may hang up at any moment, and gRPC then cancels the call's task. But a batch that was committed must also
    be run, a cancellation that was written must reach the scheduler, and what a cut stream had stored must be removed.
    """

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()  # the event loop itself holds tasks only weakly

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for the work, which goes on to its end even if this is cancelled."""
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_unheard)
            raise


def _log_unheard(task: asyncio.Task[Any]) -> None:
    """Say how work failed whose caller had hung up: nobody else will."""
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, RequestError):
        log.info("a call failed after its caller had hung up", why=str(error))
    else:
        log.error("a call failed after its caller had hung up", exc_info=error)
