"""From spans to a collector: in batches, from a thread of OpenTelemetry's own, by OTLP over gRPC."""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import Sequence

import structlog
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Tracer

log = structlog.get_logger(__name__)

EXPORT_TIMEOUT_S = 5
"""For one batch of spans, tries that follow included."""

CLOSE_S = 1.5
"""What a server that stops gives the spans that wait."""


class Exporting:
    """Make spans with `tracer`, which are sent until `close`. What is sampled is decided before a span is made.

    While the collector is away, spans wait as far as OTEL_BSP_MAX_QUEUE_SIZE allows; the oldest are dropped.
    """

    def __init__(self, endpoint: str, version: str) -> None:
        """`endpoint` is a collector's URL; more is said by OpenTelemetry's own variables, `OTEL_EXPORTER_OTLP_*`."""
        named = Resource.create(
            {"service.name": "imagebatch", "service.version": version, "service.instance.id": str(uuid.uuid4())}
        )
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before.
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, resource=named.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        exporter = _Telling(OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_TIMEOUT_S))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer: Tracer = self._provider.get_tracer("imagebatch", version)

    async def close(self) -> None:
        """Send what waits, for at most `CLOSE_S`: a collector that is away must not hold up the end."""
        closing = threading.Thread(target=self._provider.shutdown, name="tracing-close", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_S)


class _Telling(SpanExporter):
    """Log that spans can't be sent, and that they can again, once each; OpenTelemetry's own lines give the reason."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_failing = False
        self._heard = _Heard()
        logger = logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [self._heard], False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        has_failed = result is not SpanExportResult.SUCCESS
        if has_failed and not self._is_failing:
            log.warning("tracing.export_failed", why=self._heard.last)
        elif self._is_failing and not has_failed:
            log.info("tracing.exported_again")
        self._is_failing = has_failed
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _Heard(logging.Handler):
    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what was said."""
        self.last = record.getMessage()
