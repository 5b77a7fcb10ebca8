"""One client of several servers: it calls them in turn, and goes on with those that are left."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from imagebatch.v1 import batch_service_pb2 as pb
from imagebatch.v1 import batch_service_pb2_grpc as services
from imagebatch_client import BatchClient


class Counting(services.BatchServiceServicer):
    """Answers with its own name as the version."""

    def __init__(self, name: str) -> None:
        self._name = name

    def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Any) -> pb.GetServerInfoResponse:
        return pb.GetServerInfoResponse(version=self._name)


class Pair:
    """Two servers and the address of both."""

    def __init__(self) -> None:
        self.servers = []
        ports = []
        for name in ("one", "two"):
            server = grpc.server(ThreadPoolExecutor(2))
            services.add_BatchServiceServicer_to_server(Counting(name), server)
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
