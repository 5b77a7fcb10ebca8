"""What the server says of itself: its operations, limits and workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imagebatch.v1 import batch_service_pb2
from imagebatch_server.batches.model import OperationInfo
from imagebatch_server.structs import from_dict


class Catalog:
    """Answers ListOperations and GetServerInfo."""

    def __init__(
        self,
        version: str,
        operations: Sequence[OperationInfo],
        limits: batch_service_pb2.ServerLimits,
        workers: Callable[[], tuple[int, int]],
        draining: Callable[[], bool],
    ) -> None:
        self._version = version
        self._operations = operations
        self._limits = limits
        self._workers = workers
        self._draining = draining

    def operations(self) -> batch_service_pb2.ListOperationsResponse:
        """All operations, by name."""
        response = batch_service_pb2.ListOperationsResponse()
        for info in self._operations:
            message = response.operations.add(name=info.name, version=info.version, description=info.description)
            message.parameters_schema.ParseFromString(from_dict(info.parameters_schema))
            message.output_schema.ParseFromString(from_dict(info.output_schema))
        return response

    def server_info(self) -> batch_service_pb2.GetServerInfoResponse:
        """Version, limits, workers (alive, restarted) and whether the server is stopping."""
        alive, restarted = self._workers()
        return batch_service_pb2.GetServerInfoResponse(
            version=self._version,
            limits=self._limits,
            workers=batch_service_pb2.WorkerInfo(alive=alive, restarted=restarted),
            draining=self._draining(),
        )
