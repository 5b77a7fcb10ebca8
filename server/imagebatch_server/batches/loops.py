"""Work in the background that goes on for as long as the server does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import structlog

from imagebatch_server.batches.errors import StoreUnavailable

log = structlog.get_logger(__name__)

DEFECT_PAUSE_S = 1.0
"""After a defect a loop rests so long, so that it can't keep the server busy with nothing else."""


class Loop(Protocol):
    """One kind of work."""

    name: str

    async def step(self) -> None:
        """Wait for something to do and do it; called again and again. May raise StoreUnavailable."""


@asynccontextmanager
async def running(loop: Loop) -> AsyncIterator[None]:
    """Run a loop while the block does. Neither a store that is away nor a defect ends it."""
    task = asyncio.create_task(_repeat(loop), name=loop.name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _repeat(loop: Loop) -> None:
    while True:
        try:
            await loop.step()
        except StoreUnavailable as error:
            log.warning("loop.store_unavailable", loop=loop.name, why=str(error))
        except Exception:
            log.exception("loop.failed", loop=loop.name)
            await asyncio.sleep(DEFECT_PAUSE_S)
