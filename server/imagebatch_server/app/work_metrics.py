"""What Prometheus is told of the work that others are waited for in: images' hosts and the database."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.model import Dispatch

FETCH_TIMES_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
TRANSACTION_TIMES_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30)


class FetchMetrics:
    """Figures of images that are fetched from URLs. Hosts are not told apart: there are as many as callers name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._fetches = Counter(
            "imagebatch_fetches",
            "Fetches that have ended: success, or the code that the item fails with unless it is tried again.",
            ("outcome",),
            registry=registry,
        )
        self._seconds = Histogram(
            "imagebatch_fetch_seconds",
            "From the begin of a fetch to its end, redirects included.",
            buckets=FETCH_TIMES_S,
            registry=registry,
        )
        self._bytes = Counter("imagebatch_fetched_bytes", "Bytes of images that were fetched.", registry=registry)

    def fetched(self, _dispatch: Dispatch, code: ItemErrorCode | None, took_s: float, size_bytes: int) -> None:
        """Count a fetch that has ended. An `OnFetch`."""
        self._fetches.labels("success" if code is None else code.value).inc()
        self._seconds.observe(took_s)
        self._bytes.inc(size_bytes)


class DatabaseMetrics:
    """Figures of transactions, by whether they only read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        seconds = Histogram(
            "imagebatch_database_transaction_seconds",
            "Transactions from their begin to their commit, or their failure.",
            ("kind",),
            buckets=TRANSACTION_TIMES_S,
            registry=registry,
        )
        waits = Histogram(
            "imagebatch_database_wait_seconds",
            "What transactions waited before they began: for the one writer, or for one of the readers.",
            ("kind",),
            buckets=TRANSACTION_TIMES_S,
            registry=registry,
        )
        self._by_kind = {kind: (seconds.labels(kind), waits.labels(kind)) for kind in ("read", "write")}

    def transaction(self, kind: str, waited_s: float, took_s: float) -> None:
        """Note a transaction that has ended. May be called from any thread."""
        seconds, waits = self._by_kind[kind]
        seconds.observe(took_s)
        waits.observe(waited_s)
