"""A collector for tests: takes traces by OTLP over gRPC, and hands them out as the spans that they are made of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

WAIT_S = 30.0


class Collector(TraceServiceServicer):
    """Keep what comes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # of an RLock: who waits may look
        self._requests: list[ExportTraceServiceRequest] = []
        self.url = ""

    def Export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
        return ExportTraceServiceResponse()

    def spans(self) -> Sequence[Span]:
        """List all that came."""
        with self._changed:
            return [
                span
                for request in self._requests
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]

    def resources(self) -> Sequence[dict[str, Any]]:
        """List the attributes of whatever sent spans."""
        with self._changed:
            return [attributes(each.resource) for request in self._requests for each in request.resource_spans]

    def of_trace(self, trace_id: str, least: int) -> Sequence[Span]:
        """Wait until a trace has so many spans."""
        return self._wait(trace_id, lambda spans: len(spans) >= least)

    def item_spans(self, trace_id: str, last_index: int) -> Sequence[Span]:
        """Wait until a trace has the span of an item; answers those of all items that it has."""
        spans = self._wait(trace_id, lambda spans: last_index in map(_index, spans))
        return [span for span in spans if _index(span) is not None]

    def _wait(self, trace_id: str, holds: Callable[[Sequence[Span]], bool]) -> Sequence[Span]:
        found: Sequence[Span] = []

        def is_there() -> bool:
            nonlocal found
            found = [span for span in self.spans() if span.trace_id.hex() == trace_id]
            return holds(found)

        with self._changed:
            assert self._changed.wait_for(is_there, WAIT_S), [span.name for span in found]
        return found


def _index(span: Span) -> object:
    return attributes(span).get("imagebatch.item_index")


def attributes(of: Any) -> dict[str, Any]:
    """Read the attributes of a span or a resource."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a Collector."""
    server = grpc.server(ThreadPoolExecutor(2))
    collector = Collector()
    add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]  # generated
    collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
