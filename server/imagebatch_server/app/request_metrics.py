"""What Prometheus is told of requests: how many came, how they ended, how long they took, why they were refused."""

from __future__ import annotations

from grpc import StatusCode
from prometheus_client import CollectorRegistry, Counter, Histogram

from imagebatch_server.rpc.errors import GrpcError

LATENCIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class RequestMetrics:
    """Figures of requests, by gRPC and over HTTP alike. Implements `rpc.observer.RequestFigures`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "imagebatch_requests",
            "Requests that have ended, streams included; CANCELLED: the caller had gone.",
            ("rpc", "code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "imagebatch_request_seconds",
            "From a request's coming in to its answer; without streams, which end when their callers like.",
            ("rpc",),
            buckets=LATENCIES_S,
            registry=registry,
        )
        self._refused = Counter(
            "imagebatch_requests_refused",
            "Requests that were answered with an error, by ErrorInfo's reason, and by the limit of LIMIT_EXCEEDED.",
            ("reason", "limit"),
            registry=registry,
        )

    def ended(self, rpc: str, code: StatusCode, took_s: float | None) -> None:
        """Count a request; `took_s` is None for a stream."""
        self._requests.labels(rpc, code.name).inc()
        if took_s is not None:
            self._seconds.labels(rpc).observe(took_s)

    def refused(self, error: GrpcError) -> None:
        """Count why a request was refused."""
        self._refused.labels(error.reason.value, error.metadata.get("limit", "")).inc()
