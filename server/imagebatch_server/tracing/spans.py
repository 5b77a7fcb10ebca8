"""Contexts as callers and batches carry them, in OpenTelemetry's form and ours."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from imagebatch_server.trace_context import TraceContext

SYSTEM = "imagebatch"


def span_context(of: TraceContext, state: str | None = None) -> SpanContext:
    """Make OpenTelemetry's form of a context that came from elsewhere."""
    return SpanContext(
        int(of.trace_id, 16),
        int(of.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if of.is_sampled else TraceFlags.DEFAULT),
        trace_state=TraceState.from_header([state]) if state else None,
    )


def under(parent: SpanContext) -> Context:
    """Make what the children of a span are started in."""
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def trace_context(of: SpanContext) -> TraceContext:
    """Make our form of a span's context."""
    return TraceContext(trace.format_trace_id(of.trace_id), trace.format_span_id(of.span_id), of.trace_flags.sampled)
