"""The operator's record of forbidden hosts: callers are not told what a name inside stands for, the log is."""

from __future__ import annotations

from collections import OrderedDict

import structlog

from imagebatch_server.images.guard import ForbiddenHost, operators_remedy
from imagebatch_server.rarely import is_worth_a_line

log = structlog.get_logger(__name__)

MOST_BATCHES = 1_000
"""Batches whose refusals are counted, those that were refused last."""


class RefusalLog:
    """Logs the first refusal in a batch, then the 10th, the 100th and so on."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()

    def note(self, batch_id: str, item_index: int, refused: ForbiddenHost) -> None:
        """Count one, and tell of it where it is time."""
        count = self._counts[batch_id] = self._counts.get(batch_id, 0) + 1
        self._counts.move_to_end(batch_id)
        if len(self._counts) > MOST_BATCHES:
            self._counts.popitem(last=False)
        if is_worth_a_line(count):
            log.info(
                "fetch.forbidden",
                batch_id=batch_id,
                item_index=item_index,
                host=refused.host,
                address=refused.address,
                kind=refused.kind,
                remedy=operators_remedy(refused.host, refused.kind),
                refusals=count,
            )
