"""Look up in the store what news was about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

import structlog

from imagebatch_server.batches.errors import BatchNotFound
from imagebatch_server.batches.patience import patiently
from imagebatch_server.batches.tasks import Tasks

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Lookup(Generic[T]):
    """Read batches one after the other, in the order in which they were asked for.

    A batch that is asked for while it is being read is read once more: the read under way may not hold the latest.
    """

    def __init__(self, read: Callable[[str, str], Awaitable[T]], found: Callable[[str, T | None], None]) -> None:
        """`read` looks up a tenant's batch; `found` is told its id and what was read, None if it is not there any more.

        `read` may raise BatchNotFound and StoreUnavailable.
        """
        self._read_one = read
        self._found = found
        self._asked: dict[tuple[str, str], None] = {}
        self._is_reading = False
        self._tasks = Tasks()

    def ask(self, tenant: str, batch_id: str) -> None:
        """Have a batch read soon; never blocks."""
        self._asked[tenant, batch_id] = None
        if not self._is_reading:
            self._is_reading = True
            self._tasks.spawn(self._read())

    async def close(self) -> None:
        """Give up what is still to be read."""
        await self._tasks.close()

    async def _read(self) -> None:
        while self._asked:
            tenant, batch_id = next(iter(self._asked))
            del self._asked[tenant, batch_id]
            try:
                found = await patiently(partial(self._read_one, tenant, batch_id), "a batch")
            except BatchNotFound:
                found = None
            try:
                self._found(batch_id, found)
            except Exception:  # the batches that wait behind this one must be read all the same
                log.exception("lookup.failed", batch_id=batch_id)
        self._is_reading = False
