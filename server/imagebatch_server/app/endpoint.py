"""The gRPC server: the contract's services, health and reflection behind one address."""

from __future__ import annotations

import socket

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as aio_health

from imagebatch.v1 import batch_service_pb2, image_service_pb2
from imagebatch_server.rpc import reflection
from imagebatch_server.rpc.batch_service import MAX_RESPONSE_BYTES
from imagebatch_server.rpc.calls import Calls
from imagebatch_server.rpc.connections import NEWCOMERS, Connections
from imagebatch_server.rpc.interceptor import ContractInterceptor

CALLS_GRACE_S = 2.0
MAX_HEADER_BYTES = 16 * 1024
"""Of a call's metadata, names and a little more for each entry included."""
REFUSED_REQUEST_FACTOR = 2
"""gRPC itself cuts off what is so many times too large; below that the refusal can name the limit and its setting."""

HANDSHAKE_TIMEOUT_MS = 20_000
"""For a connection to speak HTTP/2; one that says nothing is closed."""

WAITING_CALLS = 1_000_000
"""Calls that have arrived and that the event loop has not come to."""

FILES = [file.DESCRIPTOR for file in (batch_service_pb2, image_service_pb2, health_pb2)]
SERVICES = [service.full_name for file in FILES for service in file.services_by_name.values()]


class Endpoint:
    """Answer calls from `start` to `stop`; without credentials of its own, in plain text."""

    def __init__(
        self,
        calls: Calls,
        connections: Connections,
        credentials: grpc.ServerCredentials | None,
        *,
        reads_ahead: bool,
        max_connection_idle_s: float,
    ) -> None:
        """`reads_ahead`: what a caller may send before it is read grows with the bandwidth, to megabytes a stream."""
        self._calls = calls
        self._connections = connections
        self._credentials = credentials
        options = (
            ("grpc.max_receive_message_length", REFUSED_REQUEST_FACTOR * calls.max_request_bytes),
            ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
            # Two limits, between which gRPC refuses at random, made one.
            ("grpc.max_metadata_size", MAX_HEADER_BYTES),
            ("grpc.absolute_max_metadata_size", MAX_HEADER_BYTES),
            # gRPC would hold that refusal back for up to a second, to slow down attackers, and whoever errs with them.
            ("grpc.http.tarpit", 0),
            ("grpc.max_allowed_incoming_connections", connections.most + NEWCOMERS),
            ("grpc.max_connection_idle_ms", round(max_connection_idle_s * 1000)),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
            # gRPC would cancel calls at random when a thousand wait, without a word; ours are refused in words.
            ("grpc.server.max_pending_requests", WAITING_CALLS),
            ("grpc.server.max_pending_requests_hard_limit", WAITING_CALLS),
            ("grpc.http2.bdp_probe", int(reads_ahead)),
            ("grpc.so_reuseport", 0),  # a second server on the port must fail, not take half of the calls
            # Finds watchers that are gone without a word, and lets clients look for a dead server.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        )
        self._grpc = aio.server(interceptors=[ContractInterceptor(calls)], options=options)
        self._health = aio_health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        reflection.add_to(self._grpc, FILES)

    async def start(self, address: str) -> str:
        """Listen; answers the address, with the port that was taken where 0 was asked for. Raises OSError."""
        host, separator, _ = address.rpartition(":")
        try:
            _try_to_listen(address)  # gRPC would print a line of its own, and does not say why
            if self._credentials is None:
                port = self._grpc.add_insecure_port(address)
            else:
                port = self._grpc.add_secure_port(address, self._credentials)
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or error
            raise OSError(f"can't listen on {address}: {why}; give another --address, as host:port") from error
        await self._grpc.start()
        self._connections.listen_on(port)
        for name in ("", *SERVICES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return f"{host}{separator}{port}"

    async def drain(self) -> None:
        """Tell by the health service that no new work is taken, and end transfers with UNAVAILABLE."""
        await self._health.enter_graceful_shutdown()
        self._calls.drain()

    async def stop(self, grace_s: float = 0.0) -> None:
        """Take no calls any more, and end those that there are, after `grace_s` at the latest."""
        await self._grpc.stop(grace_s)
        await self._calls.end(grace_s)


def _try_to_listen(address: str) -> None:
    host, _, port = address.rpartition(":")
    family, kind, protocol, _, resolved = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(resolved)
