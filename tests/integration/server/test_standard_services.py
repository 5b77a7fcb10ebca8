"""What a platform and a stranger's tools look at first: health, reflection, and what the server says of itself."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.integration.server.calls import Raw, plain

from imagebatch.v1.batch_service_pb2 import GetServerInfoRequest, ListOperationsRequest, ServerLimits

SERVICES = ("imagebatch.v1.BatchService", "imagebatch.v1.ImageService", "grpc.health.v1.Health")
MIB = 1024 * 1024


def health(raw: Raw) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(raw.channel)  # its types leave the methods out
    return stub


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_health_says_serving(raw: Raw, service: str) -> None:
    answer = health(raw).Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_of_an_unknown_service_is_not_found(raw: Raw) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        health(raw).Check(health_pb2.HealthCheckRequest(service="imagebatch.v9.Nothing"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_lists_the_services(raw: Raw) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(raw.channel)  # its types leave the methods out
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([request]))
    listed = {service.name for service in answer.list_services_response.service}
    assert listed >= {*SERVICES, "grpc.reflection.v1alpha.ServerReflection"}


def test_the_limits_are_those_of_the_contract(raw: Raw) -> None:
    info = raw.batches.GetServerInfo(GetServerInfoRequest())
    assert info.limits == ServerLimits(
        max_items_per_submit=10_000,
        max_items_per_batch=1_000_000,
        max_image_bytes=50 * MIB,
        max_image_pixels=100_000_000,
        max_redirects=5,
        max_running_batches=1_000,
        max_request_bytes=32 * MIB,
        max_response_bytes=3 * MIB,
        max_metadata_bytes=8 * 1024,
        max_parameters_bytes=64 * 1024,
        max_output_bytes=256 * 1024,
        max_error_message_bytes=2 * 1024,
        max_image_url_characters=8_192,
    )
    assert info.version == version("imagebatch")
    assert (info.workers.alive, info.workers.restarted, info.draining) == (1, 0, False)


def test_operations_are_listed_with_their_schemas(raw: Raw) -> None:
    operations = raw.batches.ListOperations(ListOperationsRequest()).operations
    names = [operation.name for operation in operations]
    assert names == sorted(names)
    described = {operation.name: operation for operation in operations}
    assert plain(described["scripted"].parameters_schema)["properties"]["word"]["type"] == "string"
    assert described["describe"].version
    assert described["describe"].description
    assert "description" in plain(described["describe"].output_schema)["properties"]
