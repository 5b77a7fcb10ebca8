"""Attempts, as small as can be."""

from __future__ import annotations

from imagebatch_server.batches.model import Dispatch, Item
from imagebatch_server.executors.attempts.attempt import Attempt


def attempt(
    item_index: int = 0,
    *,
    tenant: str = "tenant",
    turn_ms: float = 0.0,
    batch_id: str = "a",
    operation: str = "noop",
    parameters: bytes | None = None,
    data: bytes = b"",
) -> Attempt:
    """One attempt, whose image is here."""
    item = Item(item_index, None, None, "key", None, None, None, None)
    dispatch = Dispatch(tenant, batch_id, 1, 1, item, operation, parameters, 60.0, lane="", turn_ms=turn_ms)
    return Attempt(dispatch, operation, None, data)


def indexes(attempts: list[Attempt]) -> list[int]:
    """Their items."""
    return [one.dispatch.item.item_index for one in attempts]
