"""How large the database is, measured now and then: asking takes a query."""

from __future__ import annotations

import asyncio

from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.store.database import Database
from imagebatch_server.store.size import size_bytes

EVERY_S = 60.0


class DatabaseSize:
    """The size as it was last measured. A `Loop`."""

    name = "database-size"

    def __init__(self, database: Database) -> None:
        self._database = database
        self.bytes = 0

    async def step(self) -> None:
        """Measure it, and rest. Raises StoreUnavailable."""
        try:
            self.bytes = await self._database.read(size_bytes)
        except StoreUnavailable:
            await asyncio.sleep(EVERY_S)
            raise
        await asyncio.sleep(EVERY_S)
