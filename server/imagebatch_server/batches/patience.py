"""Waiting for a store that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from imagebatch_server.batches.errors import StoreUnavailable

log = structlog.get_logger(__name__)

STORE_RETRY_S = 0.5

T = TypeVar("T")


async def patiently(read: Callable[[], Awaitable[T]], wanted: str) -> T:
    """Read again and again until the store answers; what was `wanted` is logged each time."""
    while True:
        try:
            return await read()
        except StoreUnavailable as error:
            log.warning("store.unavailable", wanted=wanted, why=str(error))
            await asyncio.sleep(STORE_RETRY_S)
