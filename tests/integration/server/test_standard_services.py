"""What a platform and a stranger's tools look at first: health, reflection, and what the server says of itself."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from tests.integration.server.calls import Raw, plain

from imagebatch.v1.batch_service_pb2 import (
    GetServerInfoRequest,
    ListBatchesRequest,
    ListOperationsRequest,
    ServerLimits,
)
from imagebatch_server.images.formats import readable

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


def reflected(raw: Raw, version: str, **request: Any) -> Any:
    """One question to reflection; the messages of both versions are alike."""
    call: Any = raw.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    (answer,) = call(iter([reflection_pb2.ServerReflectionRequest(**request)]))
    return answer


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_the_services(raw: Raw, version: str) -> None:
    listed = {service.name for service in reflected(raw, version, list_services="").list_services_response.service}
    assert listed == {
        *SERVICES, "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
    }  # fmt: skip


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_describes_itself_and_others(raw: Raw, version: str) -> None:
    for symbol in (*SERVICES, f"grpc.reflection.{version}.ServerReflection"):
        answer = reflected(raw, version, file_containing_symbol=symbol).file_descriptor_response
        described = DescriptorPool()
        files = [FileDescriptorProto.FromString(data) for data in answer.file_descriptor_proto]
        for file in sorted(files, key=lambda file: len(file.dependency)):
            described.Add(file)
        assert described.FindServiceByName(symbol).full_name == symbol


def test_headers_up_to_the_limit_pass_and_longer_ones_fail_at_once_and_always(raw: Raw) -> None:
    def call(header_bytes: int) -> None:
        raw.batches.GetServerInfo(GetServerInfoRequest(), metadata=(("x-header", "x" * header_bytes),))

    for _ in range(20):
        call(15 * 1024)
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(grpc.RpcError) as caught:
            call(16 * 1024)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert time.monotonic() - began < 1.5, "gRPC would hold each back for 100 ms at the least"


def test_what_grpc_itself_refuses_is_as_the_contract_says(raw: Raw) -> None:
    call: Any = raw.channel.unary_unary("/imagebatch.v1.BatchService/Embellish")
    with pytest.raises(grpc.RpcError) as unknown:
        call(b"")
    assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED
    bomb = ListBatchesRequest(page_token="x" * (2 * 32 * MIB))
    with pytest.raises(grpc.RpcError) as too_large:
        raw.batches.ListBatches(bomb, compression=grpc.Compression.Gzip)
    assert too_large.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_limits_are_those_of_the_contract(raw: Raw) -> None:
    info = raw.batches.GetServerInfo(GetServerInfoRequest())
    assert list(info.image_formats) == list(readable())
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
        max_calls=2_000,
        max_transfers=500,
        max_transfer_idle_ms=300_000,
        max_watches=5_000,
        max_connections=10_000,
        max_streams_per_principal=1_000,
        max_calls_per_principal=1_000,
        max_connections_per_principal=1_000,
        max_failed_attempts_per_minute=60,
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
