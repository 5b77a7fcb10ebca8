"""The gRPC server: the contract's services, health and reflection behind one address."""

from __future__ import annotations

import socket

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as aio_health
from grpc_reflection.v1alpha import reflection

from imagebatch.v1 import batch_service_pb2, batch_service_pb2_grpc, image_service_pb2, image_service_pb2_grpc
from imagebatch_server.rpc.batch_service import MAX_RESPONSE_BYTES, BatchServicer
from imagebatch_server.rpc.image_service import ImageServicer
from imagebatch_server.rpc.interceptor import ContractInterceptor
from imagebatch_server.rpc.validate import RequestValidator

CALLS_GRACE_S = 2.0
REFUSED_REQUEST_FACTOR = 2
"""gRPC itself cuts off what is so many times too large; below that the refusal can name the limit and its setting."""

SERVICES = [
    service.full_name
    for file in (batch_service_pb2, image_service_pb2, health_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
]


class Endpoint:
    """Answers calls from `start` to `stop`."""

    def __init__(self, batches: BatchServicer, images: ImageServicer, *, max_request_bytes: int) -> None:
        interceptor = ContractInterceptor(RequestValidator(), max_request_bytes=max_request_bytes)
        options = (
            ("grpc.max_receive_message_length", REFUSED_REQUEST_FACTOR * max_request_bytes),
            ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
            ("grpc.so_reuseport", 0),  # a second server on the port must fail, not take half of the calls
            # Finds watchers that are gone without a word, and lets clients look for a dead server.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        )
        self._grpc = aio.server(interceptors=[interceptor], options=options)
        batch_service_pb2_grpc.add_BatchServiceServicer_to_server(batches, self._grpc)
        image_service_pb2_grpc.add_ImageServiceServicer_to_server(images, self._grpc)
        self._health = aio_health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        reflection.enable_server_reflection([*SERVICES, reflection.SERVICE_NAME], self._grpc)

    async def start(self, address: str) -> str:
        """Listen; answers the address, with the port that was taken where 0 was asked for. Raises OSError."""
        host, separator, _ = address.rpartition(":")
        try:
            _try_to_listen(address)  # gRPC would print a line of its own, and does not say why
            port = self._grpc.add_insecure_port(address)
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or error
            raise OSError(f"can't listen on {address}: {why}; give another --address, as host:port") from error
        await self._grpc.start()
        for name in ("", *SERVICES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return f"{host}{separator}{port}"

    async def drain(self) -> None:
        """Tell by the health service that no new work is taken."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_s: float | None = None) -> None:
        """End every call, after `grace_s` at the latest."""
        await self._grpc.stop(grace_s)


def _try_to_listen(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("it has no host, or no port")
    family, kind, protocol, _, resolved = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(resolved)
