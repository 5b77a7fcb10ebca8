"""What Prometheus is told, on an HTTP port of its own that is off unless a setting names it."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from imagebatch_server.app.request_metrics import RequestMetrics
from imagebatch_server.app.work_metrics import DatabaseMetrics, FetchMetrics
from imagebatch_server.batches.model import Batch, ItemResult, Outcome

COMMIT_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
ITEM_TIMES_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
DELAYS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30)


class Metrics:
    """The server's figures. A listener of the recorder; the rest are read when they are asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = RequestMetrics(self.registry)
        self.fetches = FetchMetrics(self.registry)
        self.database = DatabaseMetrics(self.registry)
        self._outcomes = Counter(
            "imagebatch_outcomes", "Outcomes recorded.", ("operation", "status", "error_code"), registry=self.registry
        )
        self._commit_sizes = Histogram(
            "imagebatch_commit_outcomes",
            "Outcomes of one batch in one transaction.",
            buckets=COMMIT_SIZES,
            registry=self.registry,
        )
        self._item_times = Histogram(
            "imagebatch_item_seconds",
            "Fetch, decode and run of the recorded attempt.",
            ("operation",),
            buckets=ITEM_TIMES_S,
            registry=self.registry,
        )
        self._delays = Histogram(
            "imagebatch_watch_delay_seconds",
            "From an outcome's commit to its being handed to a watcher that follows.",
            buckets=DELAYS_S,
            registry=self.registry,
        )
        self._tokens = Counter(
            "imagebatch_tokens",
            "Tokens that models took (input) and gave (output) for recorded outcomes.",
            ("operation", "direction"),
            registry=self.registry,
        )
        self._refused = Counter(
            "imagebatch_calls_refused", "Calls refused or ended because of a limit.", ("limit",), registry=self.registry
        )
        self._closed = Counter(
            "imagebatch_connections_closed", "Idle connections closed to make room.", registry=self.registry
        )
        self._audit_lost = Counter(
            "imagebatch_audit_lines_lost", "Lines of the audit log that could not be written.", registry=self.registry
        )

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Add a figure that is read whenever it is asked for."""
        Gauge(f"imagebatch_{name}", meaning, registry=self.registry).set_function(read)

    def counter(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Add a count, which only rises, that is read whenever it is asked for; its name ends in `_total`."""
        self.registry.register(_ReadCounter(f"imagebatch_{name}", meaning, read))

    def committed(self, batch: Batch, outcomes: Sequence[Outcome], results: Sequence[ItemResult] | None) -> None:
        operation = batch.options.operation
        if outcomes:
            self._commit_sizes.observe(len(outcomes))
        kinds = Tally([(outcome.status, outcome.error_code) for outcome in outcomes])
        for (status, error_code), count in kinds.items():
            self._outcomes.labels(operation, status, error_code or "").inc(count)
        times = self._item_times.labels(operation)
        for outcome in outcomes:
            if outcome.processing_time_ms is not None:
                times.observe(outcome.processing_time_ms / 1000)
        for direction, tokens in (
            ("input", sum([outcome.input_tokens for outcome in outcomes])),
            ("output", sum([outcome.output_tokens for outcome in outcomes])),
        ):
            if tokens:
                self._tokens.labels(operation, direction).inc(tokens)

    def lost(self, batch_id: str, owner_epoch: int) -> None:
        """Nothing was recorded, so there is nothing to count."""

    def delivered(self, delay_s: float | None) -> None:
        """Note how long after its commit a watcher that follows was handed an outcome."""
        if delay_s is not None:
            self._delays.observe(delay_s)

    def refused(self, limit: str) -> None:
        """Count a call that was refused or ended because of a limit."""
        self._refused.labels(limit).inc()

    def connections_closed(self, count: int) -> None:
        """Count connections that were closed to make room for others."""
        self._closed.inc(count)

    def audit_lines_lost(self, count: int) -> None:
        """Count lines that the audit log lacks."""
        self._audit_lost.inc(count)

    def exposition(self) -> bytes:
        """Write all figures in Prometheus' text format."""
        return generate_latest(self.registry)

    def serve(self, address: str) -> Callable[[], None]:
        """Answer HTTP requests on `host:port` from a thread of its own, until what is returned is called.

        Raises OSError if the address can't be listened on.
        """
        host, _, port = address.rpartition(":")
        try:
            server, thread = start_http_server(int(port), host.strip("[]"), self.registry)
        except (OSError, ValueError) as error:
            raise OSError(f"can't serve metrics on {address}: {error}; give another --metrics-address") from error

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop


class _ReadCounter(Collector):
    """A counter whose value is kept by somebody else."""

    def __init__(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        self._name = name
        self._meaning = meaning
        self._read = read

    def describe(self) -> Iterator[Metric]:
        """Tell its name, without reading it: parts may not be up yet."""
        yield CounterMetricFamily(self._name, self._meaning)

    def collect(self) -> Iterator[Metric]:
        """Read it."""
        yield CounterMetricFamily(self._name, self._meaning, value=self._read())
