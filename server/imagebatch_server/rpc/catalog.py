"""What the server says of itself: its operations, limits and workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imagebatch.v1 import batch_service_pb2
from imagebatch_server.batches.model import OperationInfo
from imagebatch_server.batches.quotas import QuotasOf
from imagebatch_server.structs import from_dict

FEATURES = (
    "batch_options_in_status",
    "completion_range",
    "delete_tenant",
    "failure_clusters",
    "get_usage",
    "json_values_only",
    "limit_observed",
    "pause_batch",
    "retry_item_ids",
    "retry_request_id",
    "search_results",
    "tenant_quotas",
    "unknown_fields_refused",
    "update_batch",
    "upload_sha256",
    "waiting",
)
"""What has come to the contract since its first release; GetServerInfoResponse.features says what each is."""


class Catalog:
    """Answer ListOperations and GetServerInfo."""

    def __init__(
        self,
        version: str,
        operations: Sequence[OperationInfo],
        limits: batch_service_pb2.ServerLimits,
        quotas: QuotasOf,
        workers: Callable[[], tuple[int, int]],
        draining: Callable[[], bool],
        image_formats: Sequence[str],
        features: Sequence[str],
        token_prices: Sequence[batch_service_pb2.TokenPrice],
    ) -> None:
        """`features` are those that depend on how the server is set up."""
        self._version = version
        self._operations = operations
        self._limits = limits
        self._quotas = quotas
        self._workers = workers
        self._draining = draining
        self._image_formats = image_formats
        self._token_prices = token_prices
        self._features = sorted([*FEATURES, *features])

    def operations(self) -> batch_service_pb2.ListOperationsResponse:
        """All operations, by name."""
        response = batch_service_pb2.ListOperationsResponse()
        for info in self._operations:
            message = response.operations.add(name=info.name, version=info.version, description=info.description)
            message.parameters_schema.ParseFromString(from_dict(info.parameters_schema))
            message.output_schema.ParseFromString(from_dict(info.output_schema))
        return response

    def server_info(self, tenant: str) -> batch_service_pb2.GetServerInfoResponse:
        """Version, the tenant's limits, formats, workers (alive, restarted) and whether the server is stopping."""
        alive, restarted = self._workers()
        return batch_service_pb2.GetServerInfoResponse(
            version=self._version,
            limits=self._limits_of(tenant),
            workers=batch_service_pb2.WorkerInfo(alive=alive, restarted=restarted),
            draining=self._draining(),
            features=self._features,
            image_formats=self._image_formats,
            token_prices=self._token_prices,
        )

    def _limits_of(self, tenant: str) -> batch_service_pb2.ServerLimits:
        quotas = self._quotas(tenant)
        limits = batch_service_pb2.ServerLimits()
        limits.CopyFrom(self._limits)
        limits.max_running_batches = quotas.max_running_batches
        limits.max_waiting_items = quotas.max_waiting_items or 0
        limits.max_stored_bytes = quotas.max_stored_bytes or 0
        limits.max_requests_per_s = quotas.max_requests_per_s or 0.0
        limits.max_requests_burst = quotas.max_requests_burst or 0
        return limits
