"""The OpenAPI document is valid, and says what the contract says."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor
from openapi_spec_validator import validate

from imagebatch.v1 import batch_service_pb2, image_service_pb2

METHODS: list[MethodDescriptor] = [
    method
    for stub in (batch_service_pb2, image_service_pb2)
    for service in stub.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return dict(json.loads((files("imagebatch_rules") / "v1.openapi.json").read_bytes()))


def fields(document: dict[str, Any], message: str) -> dict[str, Any]:
    return dict(document["components"]["schemas"][f"imagebatch.v1.{message}"]["properties"])


def test_it_is_valid(document: dict[str, Any]) -> None:
    validate(document)


def test_it_has_every_rpc_but_those_that_take_streams(document: dict[str, Any]) -> None:
    expected = {
        f"/{method.containing_service.full_name}/{method.name}" for method in METHODS if not method.client_streaming
    }
    assert set(document["paths"]) == expected


def test_everything_is_described(document: dict[str, Any]) -> None:
    for path in document["paths"].values():
        assert path["post"]["description"]
    for name, schema in document["components"]["schemas"].items():
        assert schema["description"], name
        for field, described in schema.get("properties", {}).items():
            assert name == "connect.error" or described["description"], f"{name}.{field}"


def test_limits_are_those_of_the_rules(document: dict[str, Any]) -> None:
    options = fields(document, "BatchOptions")
    assert options["priority"]["maximum"] == 10
    assert options["priority"]["minimum"] == 1
    assert options["labels"]["maxProperties"] == 16
    assert options["labels"]["propertyNames"]["maxLength"] == 63
    image = document["components"]["schemas"]["imagebatch.v1.BatchImageInput"]
    assert image["properties"]["imageUrl"]["maxLength"] == 8192
    assert image["properties"]["itemId"]["pattern"] == "^[A-Za-z0-9_.:/-]{1,128}$"
    assert [choice["required"] for choice in image["oneOf"]] == [["imageUrl"], ["imageBase64"], ["objectKey"]]
    assert document["components"]["schemas"]["imagebatch.v1.GetBatchStatusRequest"]["required"] == ["batchId"]


def test_large_numbers_are_strings_and_times_are_rfc_3339(document: dict[str, Any]) -> None:
    result = fields(document, "BatchItemResult")
    assert "string" in result["sequence"]["type"]
    assert result["completedAt"]["format"] == "date-time"
