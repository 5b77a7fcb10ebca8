"""Where SQL runs: one writer thread and a small pool of readers, off the event loop, on either database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError

from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.store import dialects

T = TypeVar("T")

READERS = 4
ANSWER_TIMEOUT_S = 30.0
"""A database that hangs shows as one that is not available after this time."""


class Database:
    """Runs functions of a connection, each in one transaction that is durable when it returns.

    The functions may be run a second time, on a new connection, if the first one was lost before the commit. Raises
    StoreUnavailable from both methods when the database is locked, full, gone, hanging or damaged.
    """

    def __init__(self, url: str) -> None:
        self._writer_engine, self._reader_engine = dialects.engines(make_url(url), readers=READERS)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-writer")
        self._readers = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="store-reader")

    async def write(self, work: Callable[[Connection], T], *, timeout_s: float | None = ANSWER_TIMEOUT_S) -> T:
        """Run `work` in the writer thread; its transaction commits when it returns and rolls back when it raises.

        After StoreUnavailable it is unknown whether the transaction was committed, or will yet be.
        """
        return await _answer(self._writer, self._writer_engine, work, timeout_s)

    async def read(self, work: Callable[[Connection], T], *, timeout_s: float | None = ANSWER_TIMEOUT_S) -> T:
        """Run `work` in a reader thread, on one snapshot."""
        return await _answer(self._readers, self._reader_engine, work, timeout_s)

    def close(self) -> None:
        """Wait for what runs, then close every connection."""
        self._writer.shutdown(cancel_futures=True)
        self._readers.shutdown(cancel_futures=True)
        self._reader_engine.dispose()
        self._writer_engine.dispose()


async def _answer(
    threads: ThreadPoolExecutor, engine: Engine, work: Callable[[Connection], T], timeout_s: float | None
) -> T:
    running = asyncio.get_running_loop().run_in_executor(threads, _transact, engine, work)
    try:
        async with asyncio.timeout(timeout_s):
            return await running
    except TimeoutError:
        raise StoreUnavailable(f"the database has not answered for {timeout_s:.0f} s") from None


def _transact(engine: Engine, work: Callable[[Connection], T]) -> T:
    try:
        return _attempt(engine, work, attempts=2)
    except DBAPIError as error:
        if dialects.is_defect(error):
            raise
        raise StoreUnavailable(dialects.reason(error)) from error


def _attempt(engine: Engine, work: Callable[[Connection], T], attempts: int) -> T:
    with engine.connect() as connection:
        try:
            result = work(connection)
        except DBAPIError as error:
            # A connection that died while it was idle shows here; nothing was committed, so a new one may try.
            if attempts == 1 or not error.connection_invalidated:
                raise
        else:
            connection.commit()
            return result
    return _attempt(engine, work, attempts - 1)
