"""Which batches are watched on other servers, and telling these when there is something to be seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.model import Batch, ItemResult, Outcome
from imagebatch_server.batches.ports.servers import News, NewsKind

WATCH_KEPT_S = 20.0
"""A watch on another server counts for so long after it was last told of, which happens every few seconds."""


class Audience:
    """Keep what is watched elsewhere, and tell of that alone. A listener of the recorder, a subscriber of the news."""

    def __init__(self, news: News, clock: Callable[[], float] = time.monotonic) -> None:
        self._news = news
        self._clock = clock
        self._until: dict[str, float] = {}
        """By batch; in the order in which they end."""
        news.subscribe(self._on_news)

    @property
    def batches(self) -> int:
        """How many batches are watched on other servers."""
        return len(self._until)

    def committed(self, batch: Batch, outcomes: Sequence[Outcome], results: Sequence[ItemResult] | None) -> None:
        if self._until.get(batch.batch_id, 0.0) > self._clock():
            self._news.tell_others(NewsKind.RECORDED, batch.tenant, batch.batch_id)
            if lifecycle.is_terminal(batch.status):
                del self._until[batch.batch_id]

    def lost(self, batch_id: str, owner_epoch: int) -> None:
        """Nothing to do: whoever records the batch now was told who watches it."""

    def _on_news(self, kind: NewsKind, tenant: str, batch_id: str) -> None:
        if kind is not NewsKind.WATCHED:
            return
        now = self._clock()
        while self._until and next(iter(self._until.values())) <= now:
            del self._until[next(iter(self._until))]
        is_new = self._until.pop(batch_id, None) is None
        self._until[batch_id] = now + WATCH_KEPT_S
        if is_new:  # outcomes may have been recorded since that server read the store, and before this
            self._news.tell_others(NewsKind.RECORDED, tenant, batch_id)
