"""Outcomes of items that no worker ran: skipped, or given up while they waited for their host."""

from __future__ import annotations

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches.model import Item, Outcome

_SKIP_MESSAGES = {
    ItemErrorCode.CANCELLED: (
        "the batch was cancelled before this item was started; submit it again if it is still wanted"
    ),
    ItemErrorCode.DUPLICATE: (
        "the same image with the same metadata stands at a lower index, duplicate_of_index; see that item's result"
    ),
    ItemErrorCode.FAILURE_LIMIT: (
        "too many items of the batch failed; mend what the failures have in common, then retry the batch"
    ),
}


def skipped(item: Item, code: ItemErrorCode, attempts: int) -> Outcome:
    """Make the outcome of an item that is skipped for one of three reasons."""
    return Outcome(
        item_index=item.item_index,
        status=BatchItemStatus.SKIPPED,
        error_code=code,
        error_message=_SKIP_MESSAGES[code],
        attempts=attempts,
        duplicate_of_index=item.duplicate_of_index if code is ItemErrorCode.DUPLICATE else None,
    )


def given_up(item: Item, host: str, attempts: int, *, patience_s: float) -> Outcome:
    """Make the outcome of an item whose host had too much to do for as long as an item waits."""
    return Outcome(
        item_index=item.item_index,
        status=BatchItemStatus.FAILED,
        error_code=ItemErrorCode.FETCH_FAILED,
        error_message=(
            f"{host} has had too much to do for {patience_s:g} s, as long as an item waits; "
            "retry the batch later, upload the image, or raise IMAGEBATCH_FETCH_PATIENCE_S"
        ),
        attempts=attempts,
    )
