"""Which server a batch goes to; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from imagebatch_server.batches.model import NOBODY, LiveServer

LEAST_MOVED = 64
"""Fewer items are done sooner than they are moved."""


@dataclass(frozen=True, slots=True)
class WaitingBatch:
    """A batch that could go to another server; `items` of it wait."""

    batch_id: str
    operation: str
    items: int
    is_begun: bool


def owner_for(operation: str, own: LiveServer, others: Iterable[LiveServer]) -> str:
    """Choose who runs a new batch: the server itself if it has room, else the one that has most; NOBODY if none can.

    A server that has no room is chosen all the same if no other has more: it lets a new batch take turns at once.
    """
    able = [server for server in (own, *others) if operation in server.operations and not server.draining]
    chosen = min(able, key=lambda server: max(server.load, 1.0), default=None)  # the first of equals
    return NOBODY if chosen is None else chosen.server_id


def items_to_move(own: LiveServer, other: LiveServer) -> int:
    """How many of its waiting items a server should give to another one, so that both end at about the same time."""
    if own.draining or other.draining or other.load >= 1.0:
        return 0
    workers = max(own.workers, 1) + max(other.workers, 1)
    even = (own.waiting_items * max(other.workers, 1) - other.waiting_items * max(own.workers, 1)) // workers
    return even if even >= LEAST_MOVED else 0


def batches_to_move(other: LiveServer, waiting: Iterable[WaitingBatch], items: int) -> list[str]:
    """Choose batches for another server, of so many items together at the most.

    Those that are not begun go first, and of these the large ones.
    """
    chosen = []
    for batch in sorted(waiting, key=lambda one: (one.is_begun, -one.items)):
        if batch.operation in other.operations and 0 < batch.items <= items:
            chosen.append(batch.batch_id)
            items -= batch.items
    return chosen
