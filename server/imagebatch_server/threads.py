"""Threads that are there from the start."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier


def started(count: int, name: str) -> ThreadPoolExecutor:
    """Make an executor, all threads of which run already: where memory is short, none could be started later.

    Raises RuntimeError if the system allows no more threads now.
    """
    threads = ThreadPoolExecutor(count, thread_name_prefix=name)
    together = Barrier(count)  # which no thread passes twice
    wait([threads.submit(together.wait) for _ in range(count)])
    return threads
