"""A server's store as a test holds it: what to start the server with, and the rows without the server's help."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, func, select, text, update
from tests.faults.checker import Outcome, blob_defects
from tests.postgres import PostgresServer

from imagebatch_server.objects.bucket import open_bucket
from imagebatch_server.store.audit import audit
from imagebatch_server.store.database import Database
from imagebatch_server.store.tables import STAGED, batch_labels, batches, items, objects, outcomes

TENANT = "default"
TIDY_S = 30
T = TypeVar("T")


@dataclass(frozen=True)
class Store:
    """`postgres` is the server behind the URL, if one is; `object_store_url` names a bucket, if images are in one."""

    kind: str
    data_dir: Path
    url: str
    postgres: PostgresServer | None = None
    object_store_url: str | None = None

    @property
    def settings(self) -> dict[str, str]:
        """Of a server on this store; it tidies often, so that what it should remove can be missed soon."""
        settings = {"tidy_every_s": "1"}
        if self.postgres is not None:
            settings["database_url"] = self.url
        if self.object_store_url is not None:
            settings["object_store_url"] = self.object_store_url
        return settings

    def read(self, batch_ids: Sequence[str]) -> Mapping[str, tuple[Sequence[str], Sequence[Outcome]]]:
        """By batch: what the audit finds, and the outcomes' rows in index order."""
        return asyncio.run(_read(self.url, lambda connection: {one: _look(connection, one) for one in batch_ids}))

    def look(self, work: Callable[[Connection], T]) -> T:
        """Read the rows without the server's help."""
        return asyncio.run(_read(self.url, work))

    def rows_left(self, batch_ids: Sequence[str]) -> int:
        """How many rows of these batches there still are, visible or not."""

        def count(connection: Connection) -> int:
            tables = (batches, items, outcomes)
            counts = [select(func.count()).where(table.c.batch_id.in_(batch_ids)) for table in tables]
            return sum(connection.execute(query).scalar_one() for query in counts)

        return asyncio.run(_read(self.url, count))

    def age_objects(self, object_keys: Sequence[str], created_at: datetime) -> None:
        """Make objects as old as that."""
        statement = update(objects).where(objects.c.object_key.in_(object_keys)).values(created_at=created_at)
        self.write(lambda connection: connection.execute(statement))

    def write(self, work: Callable[[Connection], object]) -> None:
        """Change the rows behind the server's back."""
        asyncio.run(_write(self.url, work))

    def blob_defects(self) -> list[str]:
        """Tell what the checker says of the images, and the rows that speak of them."""
        rows = asyncio.run(_read(self.url, _object_keys))
        now = time.time()
        if self.object_store_url is not None:
            listed = [entry for page in open_bucket(self.object_store_url).list() for entry in page]
            named = {entry["path"].rpartition("/")[2]: entry["last_modified"].timestamp() for entry in listed}
        else:
            files = (self.data_dir / "objects").glob(f"?/?/{TENANT}.*")
            named = {file.name: file.stat().st_mtime for file in files}
        return blob_defects(rows, {name: now - at for name, at in named.items() if name.startswith(f"{TENANT}.")})

    def staged_batches(self) -> int:
        """Count batches that are still coming in."""
        query = select(func.count()).select_from(batches).where(STAGED)
        return asyncio.run(_read(self.url, lambda connection: connection.execute(query).scalar_one()))

    def leftovers(self) -> list[str]:
        """Find what is left of deleted batches and of submits that were cut, once the server could have tidied."""
        tick = threading.Event()
        for _ in range(TIDY_S * 10):
            if not asyncio.run(_read(self.url, _leftovers)):
                return []
            tick.wait(0.1)
        return asyncio.run(_read(self.url, _leftovers))


async def _read(url: str, work: Callable[[Connection], T]) -> T:
    database = Database(url)
    try:
        return await database.read(work, timeout_s=None)  # all batches of a soak take a while
    finally:
        database.close()


async def _write(url: str, work: Callable[[Connection], object]) -> None:
    database = Database(url)
    try:
        await database.write(work)
    finally:
        database.close()


def _look(connection: Connection, batch_id: str) -> tuple[Sequence[str], Sequence[Outcome]]:
    same = (outcomes.c.tenant == items.c.tenant) & (outcomes.c.batch_id == items.c.batch_id)
    columns = (items.c.item_index, items.c.item_id, outcomes.c.sequence, outcomes.c.status, outcomes.c.error_code)
    rows = connection.execute(
        select(*columns)
        .join(outcomes, same & (outcomes.c.item_index == items.c.item_index))
        .where(items.c.tenant == TENANT, items.c.batch_id == batch_id)
        .order_by(items.c.item_index)
    )
    return audit(connection, TENANT, batch_id), [Outcome(*row) for row in rows]


def _object_keys(connection: Connection) -> set[str]:
    return set(connection.execute(select(objects.c.object_key)).scalars())


def _leftovers(connection: Connection) -> list[str]:
    known = select(batches.c.batch_id).where(text("visible"))
    counts = {
        table.name: connection.execute(
            select(func.count()).select_from(table).where(table.c.batch_id.not_in(known))
        ).scalar_one()
        for table in (batches, batch_labels, items, outcomes)
    }
    return [f"{count} rows of {name} belong to no batch" for name, count in counts.items() if count]
