"""Traces, where a setting asks for them: OpenTelemetry is an extra."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from imagebatch.v1 import batch_service_pb2, image_service_pb2
from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.errors import CannotStart
from imagebatch_server.batches.ports.execution import Executor

if TYPE_CHECKING:
    from imagebatch_server.tracing.calls import CallTracing
    from imagebatch_server.tracing.exporting import Exporting
    from imagebatch_server.tracing.items import ItemTracing

_UNTRACED = {"WatchBatch"}
"""A watch may last for days, and what it brings has spans of its own."""


class Tracing:
    """What traces calls and items, until it is closed."""

    def __init__(self, exporting: Exporting, calls: CallTracing, items: ItemTracing) -> None:
        self.calls = calls
        self.items = items
        self.close = exporting.close

    def traced(self, executor: Executor) -> Executor:
        """Have an executor's attempts traced."""
        from imagebatch_server.tracing.executor import TracedExecutor

        return TracedExecutor(self.items, executor)


def open_tracing(settings: Settings) -> Tracing | None:
    """Make what traces, if the settings name a collector. Raises CannotStart where OpenTelemetry is not installed."""
    if settings.otlp_endpoint is None:
        return None
    try:
        from imagebatch_server.tracing.calls import CallTracing
        from imagebatch_server.tracing.exporting import Exporting
        from imagebatch_server.tracing.items import ItemTracing
    except ModuleNotFoundError as error:
        raise CannotStart(
            f"--otlp-endpoint needs the package {error.name}: pip install 'imagebatch[otel]', or leave it out"
        ) from error
    exporting = Exporting(settings.otlp_endpoint, version("imagebatch"))
    return Tracing(
        exporting,
        CallTracing(exporting.tracer, _paths(), settings.trace_ratio),
        ItemTracing(exporting.tracer, settings.trace_item_ratio),
    )


def _paths() -> dict[str, str]:
    return {
        method.name: f"{service.full_name}/{method.name}"
        for file in (batch_service_pb2.DESCRIPTOR, image_service_pb2.DESCRIPTOR)
        for service in file.services_by_name.values()
        for method in service.methods
        if method.name not in _UNTRACED
    }
