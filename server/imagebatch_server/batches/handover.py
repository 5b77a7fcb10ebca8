"""What this server has just stored, and is about to run."""

from __future__ import annotations

from collections.abc import Sequence

from imagebatch_server.batches.model import Batch, Item

MOST_BATCHES = 64


class Handover:
    """New batches with their first items, kept from their submission until the news of it arrives.

    It spares the scheduler two reads before a batch's first item, and its first watcher one. Nothing depends on it:
    what is not here is read from the store.
    """

    def __init__(self) -> None:
        self._batches: dict[str, tuple[Batch, Sequence[Item]]] = {}

    def put(self, batch: Batch, first_items: Sequence[Item]) -> None:
        """Keep a batch, in the place of the oldest if there are too many."""
        self._batches[batch.batch_id] = batch, first_items
        if len(self._batches) > MOST_BATCHES:
            del self._batches[next(iter(self._batches))]

    def look(self, batch_id: str) -> Batch | None:
        """Look at a batch that nobody has taken out yet."""
        new = self._batches.get(batch_id)
        return None if new is None else new[0]

    def take(self, batch_id: str) -> tuple[Batch, Sequence[Item]] | None:
        """Take a batch out; None if it is not here."""
        return self._batches.pop(batch_id, None)
