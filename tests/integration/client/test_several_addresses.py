"""One client of several servers: it calls them in turn, and goes on with those that are left."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from imagebatch.v1 import batch_service_pb2 as pb
from imagebatch_client import BatchClient


def answering(name: str) -> grpc.GenericRpcHandler:
    """Answer GetServerInfo with a name as the version."""

    def answer(_request: bytes, _context: object) -> pb.GetServerInfoResponse:
        return pb.GetServerInfoResponse(version=name)

    method: Any = grpc.unary_unary_rpc_method_handler(
        answer, response_serializer=pb.GetServerInfoResponse.SerializeToString
    )
    return grpc.method_handlers_generic_handler("imagebatch.v1.BatchService", {"GetServerInfo": method})


class Pair:
    """Two servers and the address of both."""

    def __init__(self) -> None:
        self.servers = []
        ports = []
        for name in ("one", "two"):
            server = grpc.server(ThreadPoolExecutor(2))
            server.add_generic_rpc_handlers([answering(name)])
            ports.append(server.add_insecure_port("127.0.0.1:0"))
            server.start()
            self.servers.append(server)
        self.address = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    for server in made.servers:
        server.stop(None)


def asked(client: BatchClient, times: int) -> list[str]:
    return [client.server_info().version for _ in range(times)]


def test_servers_are_called_in_turn_and_one_is_enough(pair: Pair) -> None:
    with BatchClient(pair.address) as client:
        while {*asked(client, 2)} != {"one", "two"}:
            pass  # until both are connected
        assert asked(client, 6).count("one") == 3
        pair.servers[0].stop(None).wait()
        assert {*asked(client, 4)} == {"two"}
