"""News of batches within one process."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context

import structlog

from imagebatch_server.batches.ports.servers import NewsKind, NewsSubscriber

log = structlog.get_logger(__name__)


class LocalNews:
    """The port `News` for the only server of its database."""

    def __init__(self) -> None:
        self._subscribers: list[NewsSubscriber] = []
        self._context = copy_context()
        """The server's own: what subscribers begin is no part of the request that publishes, nor of its trace."""

    def subscribe(self, subscriber: NewsSubscriber) -> None:
        self._subscribers.append(subscriber)

    def publish(self, kind: NewsKind, tenant: str, batch_id: str) -> None:
        for subscriber in self._subscribers:
            try:
                self._context.copy().run(subscriber, kind, tenant, batch_id)
            except Exception:  # whoever publishes has stored the change already, and the others must hear of it
                log.exception("news.subscriber_failed", kind=kind.value, batch_id=batch_id)

    def tell_others(self, kind: NewsKind, tenant: str, batch_id: str) -> None:
        """Nothing to do: there are no other servers."""

    def when_missed(self, look: Callable[[], None]) -> None:
        """Nothing to do: no news is lost within one process."""
