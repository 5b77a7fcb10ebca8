"""A log line for items that fail: enough to see that they do and why, and never one for each of a million."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence

import structlog

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches.model import Batch, ItemResult, Outcome
from imagebatch_server.rarely import is_worth_a_line

log = structlog.get_logger(__name__)

MOST_BATCHES = 1_000
"""Batches whose failures are counted, those that failed last; the counts of others begin anew."""


class FailureLog:
    """Logs the first failure of each code in a batch, then the 10th, the 100th and so on. A `CommitListener`."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, Counter[ItemErrorCode]] = OrderedDict()

    def committed(self, batch: Batch, outcomes: Sequence[Outcome], results: Sequence[ItemResult] | None) -> None:
        """Count the failures among these outcomes."""
        for outcome in outcomes:
            if outcome.status is BatchItemStatus.FAILED and outcome.error_code is not None:
                self._failed(batch, outcome, outcome.error_code)

    def lost(self, batch_id: str, owner_epoch: int) -> None:
        """Forget a batch that another server runs."""
        self._counts.pop(batch_id, None)

    def _failed(self, batch: Batch, outcome: Outcome, code: ItemErrorCode) -> None:
        counts = self._counts.setdefault(batch.batch_id, Counter())
        self._counts.move_to_end(batch.batch_id)
        if len(self._counts) > MOST_BATCHES:
            self._counts.popitem(last=False)
        counts[code] += 1
        if is_worth_a_line(counts[code]):
            log.info(
                "item.failed",
                batch_id=batch.batch_id,
                item_index=outcome.item_index,
                error_code=code.value,
                why=outcome.error_message,
                failures=counts[code],
            )
