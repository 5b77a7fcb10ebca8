"""Reads of a batch's items, which end later than they began."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from tests.unit.batches.samples import CHARGE, item, running_batch

from imagebatch_server.batches.item_reader import ItemReader
from imagebatch_server.batches.model import Item
from imagebatch_server.batches.ports.batches import BatchStore

ITEMS = 10


class Stored:
    """Ten items without an outcome."""

    async def pending_items(self, tenant: str, batch_id: str, after_index: int, limit: int) -> Sequence[Item]:
        return [item(index) for index in range(after_index + 1, ITEMS)][:limit]


async def test_what_was_being_read_before_a_pause_is_not_brought_twice() -> None:
    running = running_batch(items=ITEMS, at_hand=0)
    reader = ItemReader(cast("BatchStore", Stored()), lambda _: None)
    reader.read_ahead(running)
    running.pause([])
    running.resume()
    reader.read_ahead(running)
    for _ in range(10):  # turns of the loop, of which each of the two reads takes a few
        await asyncio.sleep(0)
    departed = []
    while running.next_item is not None:
        departed.append(running.depart(CHARGE).item.item_index)
    assert departed == list(range(ITEMS))
