"""Batches that come in by a stream: whole, or nothing of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from tests.integration.batches.core import Core, core
from tests.unit.batches.samples import allowing, options

from imagebatch_server.batches.errors import InvalidRequest, RequestError, StoreUnavailable
from imagebatch_server.batches.item_admission import ItemAdmission, NewItem
from imagebatch_server.batches.model import Batch, BatchOptions
from imagebatch_server.batches.submission import ITEMS_A_STAGE, Submission
from imagebatch_server.operations.registry import ENTRY_POINT_GROUP, OperationRegistry

MOST_ITEMS = 5 * ITEMS_A_STAGE


def new_items(first: int, count: int) -> list[NewItem]:
    return [
        NewItem(
            item_id=f"own-{index}", image_url=f"http://a/{index}", image_base64=None, object_key=None, metadata=None
        )
        for index in range(first, first + count)
    ]


async def submit(made: Core, chunks: AsyncIterator[Sequence[NewItem]], chosen: BatchOptions | None = None) -> Batch:
    submission = Submission(
        made.batch_store,
        ItemAdmission(made.blobs, made.objects),
        OperationRegistry([EntryPoint("paced", "tests.operations:Paced", ENTRY_POINT_GROUP)]),
        made.news,
        made.handover,
        made.janitor,
        allowing(100),
        max_items_per_submit=1,
        max_items_per_batch=MOST_ITEMS,
    )
    return await submission.submit_stream(
        "default", chosen or options(operation="paced"), chunks, content_sha256="0" * 64
    )


async def in_order(*chunks: Sequence[NewItem]) -> AsyncIterator[Sequence[NewItem]]:
    for chunk in chunks:
        yield chunk


async def assert_nothing_is_left(made: Core, folder: Path) -> None:
    while await made.batch_store.remove_hidden(10_000):
        pass
    with closing(sqlite3.connect(folder / "core.db")) as database:
        for table in ("batches", "batch_labels", "items"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)  # noqa: S608 - our own


@pytest.mark.parametrize("sizes", [[1], [1, 1], [ITEMS_A_STAGE + 1], [3, 2 * ITEMS_A_STAGE, 0, 5]])
async def test_every_item_of_every_chunk_is_stored_in_order(tmp_path: Path, sizes: list[int]) -> None:
    async with core(tmp_path) as made:
        given = new_items(0, sum(sizes))
        starts = [sum(sizes[:position]) for position in range(len(sizes))]
        chunks = [given[start : start + size] for start, size in zip(starts, sizes, strict=True)]
        batch = await submit(made, in_order(*chunks))
        assert batch.total_items == len(given)
        stored = await made.batch_store.items("default", batch.batch_id, range(len(given)))
        assert [(item.item_index, item.item_id, item.image_url) for item in stored] == [
            (index, new.item_id, new.image_url) for index, new in enumerate(given)
        ]
        await made.ended(batch)


@pytest.mark.parametrize(
    ("last", "raised"),
    [
        (new_items(0, 1), InvalidRequest),
        (new_items(3 * ITEMS_A_STAGE - 1, 1), InvalidRequest),
        (new_items(3 * ITEMS_A_STAGE, 3 * ITEMS_A_STAGE), InvalidRequest),
    ],
    ids=["repeats the first item_id", "repeats the item_id just before", "too many items"],
)
async def test_a_stream_that_is_wrong_at_its_end_leaves_nothing(
    tmp_path: Path, last: Sequence[NewItem], raised: type[RequestError]
) -> None:
    async with core(tmp_path) as made:
        good = new_items(0, 3 * ITEMS_A_STAGE)
        with pytest.raises(raised):
            await submit(made, in_order(good[:ITEMS_A_STAGE], good[ITEMS_A_STAGE:], last))
        await assert_nothing_is_left(made, tmp_path)


async def test_a_stream_whose_source_fails_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[Sequence[NewItem]]:
        yield new_items(0, ITEMS_A_STAGE)
        raise InvalidRequest([])

    async with core(tmp_path) as made:
        with pytest.raises(InvalidRequest):
            await submit(made, broken())
        await assert_nothing_is_left(made, tmp_path)


async def test_a_stream_that_is_cut_leaves_nothing(tmp_path: Path) -> None:
    waits = asyncio.Event()

    async def endless() -> AsyncIterator[Sequence[NewItem]]:
        yield new_items(0, ITEMS_A_STAGE)
        waits.set()
        await asyncio.Event().wait()

    async with core(tmp_path) as made:
        submitting = asyncio.create_task(submit(made, endless()))
        await waits.wait()
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting
        await assert_nothing_is_left(made, tmp_path)


@pytest.mark.parametrize("ends", [True, False])
async def test_a_part_that_can_not_be_written_ends_the_stream(tmp_path: Path, ends: bool) -> None:
    async with core(tmp_path) as made:

        async def given_up() -> AsyncIterator[Sequence[NewItem]]:
            yield new_items(0, 1)
            await made.another_store.discard_staged()
            yield new_items(1, 1)
            if not ends:
                yield new_items(2, 1)
                raise AssertionError("a chunk was read after one that could not be written")

        with pytest.raises(StoreUnavailable, match="was given up"):
            await submit(made, given_up())
        await assert_nothing_is_left(made, tmp_path)


async def test_what_came_in_is_given_up_when_the_store_is_back(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "core.db", isolation_level=None)) as other:

        async def failing_while_the_store_is_away() -> AsyncIterator[Sequence[NewItem]]:
            yield new_items(0, 1)
            yield new_items(1, 1)
            other.execute("BEGIN IMMEDIATE")
            raise InvalidRequest([])

        async with core(tmp_path) as made:
            with pytest.raises(InvalidRequest):
                await submit(made, failing_while_the_store_is_away())
            other.execute("ROLLBACK")
            await made.janitor.tidy()
            await assert_nothing_is_left(made, tmp_path)
