"""The limits that callers meet: made of the settings and of what the system allows, and told by GetServerInfo."""

from __future__ import annotations

from imagebatch.v1.batch_service_pb2 import ServerLimits
from imagebatch_server import limits
from imagebatch_server.app.descriptors import Descriptors
from imagebatch_server.app.memory import Memory
from imagebatch_server.app.metrics import Metrics
from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.quotas import Quotas, QuotasOf
from imagebatch_server.rpc.batch_service import MAX_RESPONSE_BYTES
from imagebatch_server.rpc.call_limits import CallLimits
from imagebatch_server.rpc.connections import Connections
from imagebatch_server.rpc.principal_limits import CALLS, CONNECTIONS, STREAMS, PrincipalLimits
from imagebatch_server.rpc.receiving import Receiving
from imagebatch_server.rpc.request_memory import RequestMemory
from imagebatch_server.rpc.request_rates import RequestRates
from imagebatch_server.rpc.slots import Slots
from imagebatch_server.rpc.transfers import Transfers


def call_limits(
    settings: Settings, quotas: QuotasOf, descriptors: Descriptors, memory: Memory, metrics: Metrics
) -> CallLimits:
    """Make the bounds on calls."""
    slots = Slots("max_transfers", "uploads, downloads and streamed submits", descriptors.transfers, metrics.refused)
    transfers = Transfers(slots, max_idle_s=settings.max_transfer_idle_s, on_ended=metrics.refused)
    request_memory = RequestMemory(memory.requests, memory.reserve, memory.free, metrics.refused)
    return CallLimits(
        calls=Slots("max_calls", "calls", settings.max_calls, metrics.refused),
        watches=Slots("max_watches", "watches", settings.max_watches, metrics.refused),
        transfers=transfers,
        connections=Connections(descriptors.connections, metrics.connections_closed, metrics.refused),
        principals=PrincipalLimits(
            {
                CALLS: settings.max_calls_per_principal,
                STREAMS: settings.max_streams_per_principal,
                CONNECTIONS: settings.max_connections_per_principal,
            },
            metrics.refused,
        ),
        rates=RequestRates(quotas, metrics.refused),
        memory=request_memory,
        receiving=Receiving(memory.requests, memory.max_request, request_memory, transfers),
    )


def server_limits(settings: Settings, descriptors: Descriptors, memory: Memory) -> ServerLimits:
    """State the limits that are alike for all tenants, as GetServerInfo answers them."""
    return ServerLimits(
        max_items_per_submit=settings.max_items_per_submit,
        max_items_per_batch=settings.max_items_per_batch,
        max_image_bytes=settings.max_image_bytes,
        max_image_pixels=settings.max_image_pixels,
        max_redirects=settings.max_redirects,
        max_request_bytes=memory.max_request,
        max_calls=settings.max_calls,
        max_transfers=descriptors.transfers,
        max_transfer_idle_ms=round(settings.max_transfer_idle_s * 1000),
        max_watches=settings.max_watches,
        max_connections=descriptors.connections,
        max_calls_per_principal=settings.max_calls_per_principal,
        max_streams_per_principal=settings.max_streams_per_principal,
        max_connections_per_principal=settings.max_connections_per_principal,
        max_failed_attempts_per_minute=settings.max_failed_attempts_per_minute,
        max_response_bytes=MAX_RESPONSE_BYTES,
        max_metadata_bytes=limits.MAX_METADATA_BYTES,
        max_parameters_bytes=limits.MAX_PARAMETERS_BYTES,
        max_output_bytes=limits.MAX_OUTPUT_BYTES,
        max_error_message_bytes=limits.MAX_ERROR_MESSAGE_BYTES,
        max_image_url_characters=limits.MAX_IMAGE_URL_CHARACTERS,
    )


def usual_quotas(settings: Settings) -> Quotas:
    """State what a tenant may have unless its own table says otherwise."""
    return Quotas(
        max_running_batches=settings.max_running_batches,
        max_waiting_items=settings.max_waiting_items,
        max_stored_bytes=settings.max_stored_bytes,
        max_requests_per_s=settings.max_requests_per_s,
        max_requests_burst=settings.max_requests_burst,
    )
