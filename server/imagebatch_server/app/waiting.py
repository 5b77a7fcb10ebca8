"""Waiting at the start for a database that is not there yet, as a running server waits for one that went away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import structlog
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as aio_health

from imagebatch_server.batches.errors import StoreUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

TRY_EVERY_S = 0.5


async def patiently(work: Callable[[], Awaitable[T]], *, patience_s: float, address: str) -> T:
    """Do work that needs the database, again and again while that is away, and answer health checks meanwhile.

    Raises StoreUnavailable after `patience_s`, and at once where waiting can't help.
    """
    give_up_at = time.monotonic() + patience_s
    async with AsyncExitStack() as meanwhile:
        is_waiting = False
        while True:
            try:
                return await work()
            except StoreUnavailable as error:
                if not error.may_pass or time.monotonic() >= give_up_at:
                    raise
                if not is_waiting:
                    is_waiting = True
                    log.warning("server.waits_for_store", why=str(error), patience_s=patience_s)
                    await meanwhile.enter_async_context(_not_serving(address))
            await asyncio.sleep(TRY_EVERY_S)


@asynccontextmanager
async def _not_serving(address: str) -> AsyncIterator[None]:
    """Answer health checks, and nothing else, at the address that the server is to have."""
    server = aio.server(options=(("grpc.so_reuseport", 0),))
    health = aio_health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    await health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    server.add_insecure_port(address)
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)
