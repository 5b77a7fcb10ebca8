"""Threads for what takes the processor in an asynchronous operation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_AT_ONCE = 2
"""Few, for each may hold a decoded image, and the workers need the processor too."""

_threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="asynchronous-operation")


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Run a function in a thread, so that the others' answers are heard meanwhile.

    When the item's time is over it is waited for, because no thread can be stopped: one that does not end is found out
    as an operation that does not yield, and ends the process.
    """
    submitted = _threads.submit(function, *arguments)
    waiting = asyncio.wrap_future(submitted)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        if not submitted.cancel():
            await asyncio.wait([waiting])
        raise
