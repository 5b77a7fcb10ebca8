"""A log line for items that fail: enough to see that they do and why, and never one for each of a million."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches.model import Batch, ItemResult, Outcome
from imagebatch_server.gathered_lines import GatheredLines
from imagebatch_server.trace_context import log_fields

log = structlog.get_logger(__name__)


class FailureLog:
    """Log failed items: of each batch and code the first, and the last of those that follow in `every_s`.

    A `CommitListener`.
    """

    def __init__(self, every_s: float) -> None:
        self._lines: GatheredLines[tuple[Batch, Outcome]] = GatheredLines(_write, every_s)

    def committed(self, batch: Batch, outcomes: Sequence[Outcome], results: Sequence[ItemResult] | None) -> None:
        """Tell of the failures among these outcomes."""
        for outcome in outcomes:
            if outcome.status is BatchItemStatus.FAILED:
                self._lines.add((batch.batch_id, outcome.error_code), (batch, outcome))

    def lost(self, batch_id: str, owner_epoch: int) -> None:
        """Nothing was recorded, so nothing has failed."""

    def close(self) -> None:
        """Write what waits."""
        self._lines.close()


def _write(failed: tuple[Batch, Outcome], left_out: int) -> None:
    batch, outcome = failed
    log.info(
        "item.failed",
        tenant=batch.tenant,
        batch_id=batch.batch_id,
        operation=batch.options.operation,
        item_index=outcome.item_index,
        error_code=outcome.error_code,
        why=outcome.error_message,
        attempts=outcome.attempts,
        left_out=left_out,
        **log_fields(batch.traceparent),
    )
