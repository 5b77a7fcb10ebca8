"""What is told of each request, however it came and ended: to the metrics, and to the log if it was refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from grpc import StatusCode
from structlog.contextvars import bound_contextvars

from imagebatch.v1.enums import ErrorReason
from imagebatch_server.access.principal import Principal
from imagebatch_server.rpc.call import IncomingCall
from imagebatch_server.rpc.errors import GrpcError
from imagebatch_server.rpc.refused_requests import RefusedRequests
from imagebatch_server.trace_context import TraceContext


class RequestFigures(Protocol):
    """Count requests."""

    def ended(self, rpc: str, code: StatusCode, took_s: float | None) -> None:
        """Count a request; `took_s` is None for a stream."""

    def refused(self, error: GrpcError) -> None:
        """Count why a request was refused."""


class CallTrace(Protocol):
    """A request's place in a trace."""

    context: TraceContext

    def end(self, code: StatusCode, reason: str | None) -> None:
        """Tell how it ended; `reason` is ErrorInfo's."""


class CallTraces(Protocol):
    """Trace requests."""

    def begin(self, rpc: str, metadata: Mapping[str, str]) -> CallTrace | None:
        """Begin to trace a request; None if it belongs to no trace."""


class Observed:
    """One request while it is answered."""

    def __init__(self, traceparent: str | None) -> None:
        self.traceparent = traceparent
        """The trace that what the request asks for belongs to, if there is one."""
        self.error: GrpcError | None = None
        """What it is ended with, if it is refused."""
        self.principal: Principal | None = None
        """Who makes it, once that is known."""
        self.code = StatusCode.UNKNOWN
        """How it ended, once it has."""


class Observer:
    """Tell of requests."""

    def __init__(self, figures: RequestFigures, refusals: RefusedRequests, traces: CallTraces | None) -> None:
        self._figures = figures
        self._traces = traces
        self._refusals = refusals

    @contextmanager
    def observing(self, rpc: str, incoming: IncomingCall, *, is_stream: bool) -> Iterator[Observed]:
        """Tell of a request, which the block answers. Lines that it logs meanwhile name the trace."""
        trace = None if self._traces is None else self._traces.begin(rpc, incoming.metadata)
        if trace is None:
            with self._telling(rpc, incoming, Observed(None), is_stream=is_stream) as observed:
                yield observed
            return
        context = trace.context
        observed = Observed(context.traceparent)
        try:
            with (
                bound_contextvars(trace_id=context.trace_id, span_id=context.span_id),
                self._telling(rpc, incoming, observed, is_stream=is_stream),
            ):
                yield observed
        finally:
            trace.end(observed.code, None if observed.error is None else observed.error.reason)

    @contextmanager
    def _telling(self, rpc: str, incoming: IncomingCall, observed: Observed, *, is_stream: bool) -> Iterator[Observed]:
        began_at = time.perf_counter()
        try:
            yield observed
            observed.code = StatusCode.OK if observed.error is None else observed.error.code
        except asyncio.CancelledError:
            observed.code = StatusCode.CANCELLED
            raise
        finally:
            self._figures.ended(rpc, observed.code, None if is_stream else time.perf_counter() - began_at)
            if observed.error is not None:
                self._refused(rpc, incoming.peer, observed, observed.error)

    def _refused(self, rpc: str, peer: str, observed: Observed, error: GrpcError) -> None:
        self._figures.refused(error)
        if error.reason is not ErrorReason.INTERNAL:  # which has a line of its own, with the cause
            self._refusals.note(rpc, peer, observed.principal, error, observed.traceparent)
