"""A server on a database that holds a finished batch already: a million items without running them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.bare.store import add_finished_batch
from benchmarks.ours import Ours, serving


@asynccontextmanager
async def serving_finished(
    folder: Path,
    items: int,
    database_url: str | None = None,
    settings: Mapping[str, str] | None = None,
    previews: Sequence[bytes] = (),
) -> AsyncIterator[tuple[Ours, str]]:
    """Provide the server and the finished batch's id; its items have the `previews` in turn."""
    async with serving(folder, database_url=database_url) as ours:  # which makes the tables
        keys = [(await ours.client.upload_image(preview)).object_key for preview in previews]
    batch_id = add_finished_batch(database_url or f"sqlite:///{folder / 'data' / 'imagebatch.db'}", items, keys)
    async with serving(folder, database_url=database_url, settings=settings) as ours:
        yield ours, batch_id
