"""A span for each call that is sampled, under the caller's."""

from __future__ import annotations

import random
from collections.abc import Mapping

from grpc import StatusCode
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, Tracer
from opentelemetry.trace import StatusCode as SpanStatus

from imagebatch_server.trace_context import TRACEPARENT, TRACESTATE, TraceContext
from imagebatch_server.tracing.spans import span_context, trace_context, under

_SERVERS_FAULT = {
    StatusCode.UNKNOWN,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.UNIMPLEMENTED,
    StatusCode.INTERNAL,
    StatusCode.UNAVAILABLE,
    StatusCode.DATA_LOSS,
}
"""With these a server's span has failed, by OpenTelemetry's conventions for RPC; others are the caller's affair."""


class CallSpan:
    """A sampled call. Implements `rpc.observer.CallTrace`."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.context = trace_context(span.get_span_context())

    def end(self, code: StatusCode, reason: str | None) -> None:
        """End it as the call ended."""
        self._span.set_attribute("rpc.response.status_code", code.name)
        if reason is not None:
            self._span.set_attribute("error.type", reason)
        if code in _SERVERS_FAULT:
            self._span.set_status(Status(SpanStatus.ERROR))
        self._span.end()


class UnsampledCall:
    """A call that its caller traces and does not record: its lines of the log name the trace all the same."""

    def __init__(self, context: TraceContext) -> None:
        self.context = context

    def end(self, code: StatusCode, reason: str | None) -> None:
        """Nothing to end."""


class CallTracing:
    """Begin a span for a call whose caller's trace is sampled; of calls without one for a share, by chance.

    Implements `rpc.observer.CallTraces`. Calls that `paths` doesn't name have none, such as watches, which may last for
    days.
    """

    def __init__(self, tracer: Tracer, paths: Mapping[str, str], ratio: float) -> None:
        """`paths` are the spans' names by rpc, such as `imagebatch.v1.BatchService/SubmitBatch`."""
        self._tracer = tracer
        self._paths = paths
        self._ratio = ratio

    def begin(self, rpc: str, metadata: Mapping[str, str]) -> CallSpan | UnsampledCall | None:
        """Begin to trace a call; None if there is no trace that it belongs to."""
        path = self._paths.get(rpc)
        if path is None:
            return None
        caller = TraceContext.read(metadata.get(TRACEPARENT))
        if caller is None:
            return self._span(path, Context()) if random.random() < self._ratio else None
        if not caller.is_sampled:
            return UnsampledCall(caller)
        return self._span(path, under(span_context(caller, metadata.get(TRACESTATE))))

    def _span(self, path: str, parent: Context) -> CallSpan:
        attributes = {"rpc.system.name": "grpc", "rpc.method": path}
        return CallSpan(self._tracer.start_span(path, parent, SpanKind.SERVER, attributes))
