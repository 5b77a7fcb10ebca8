"""What is generated keeps its promises to clients; that it is fresh is `make check-generated`'s to say."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import EnumDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from imagebatch.v1 import batch_service_pb2, enums, error_reason_pb2, image_service_pb2, types_pb2

ROOT = Path(__file__).resolve().parents[2]
STUBS: list[FileDescriptor] = [
    module.DESCRIPTOR for module in (batch_service_pb2, error_reason_pb2, image_service_pb2, types_pb2)
]
ENUMS: list[EnumDescriptor] = [enum for stub in STUBS for enum in stub.enum_types_by_name.values()]
# protos/buf/validate/validate.proto, from the sdist of protovalidate 2.1.0 (Apache-2.0).
VALIDATE_PROTO_SHA256 = "2a3e0c64526998fe77d15033a2cc7d86d9f3770d89d960dec09bcc150a2487c1"


def annotated() -> FileDescriptorSet:
    return FileDescriptorSet.FromString((files("imagebatch_rules") / "v1.binpb").read_bytes())


def wire_numbers(descriptor: EnumDescriptor) -> dict[str, int]:
    """Names without their enum's prefix, UNSPECIFIED left out, to numbers."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", descriptor.name).upper() + "_"
    return {value.name.removeprefix(prefix): value.number for value in descriptor.values if value.number}


def run_python(code: str) -> str:
    """Run code in an interpreter of its own, where nothing else has been imported."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_enums_load_no_protobuf() -> None:
    code = (
        "import sys, imagebatch.v1.enums; print([name for name in sys.modules if name.startswith(('google', 'grpc'))])"
    )
    assert run_python(code) == "[]"


@pytest.mark.parametrize("descriptor", ENUMS, ids=lambda descriptor: descriptor.name)
def test_every_value_but_unspecified_is_a_member(descriptor: EnumDescriptor) -> None:
    enum: type[StrEnum] = getattr(enums, descriptor.name)
    names = list(wire_numbers(descriptor))
    assert [member.name for member in enum] == names
    expected = names if enum is enums.ErrorReason else [name.lower() for name in names]
    assert [member.value for member in enum] == expected


@pytest.mark.parametrize(
    ("name", "by_number", "numbers"),
    [
        ("BatchStatus", enums.BATCH_STATUS_BY_NUMBER, enums.BATCH_STATUS_NUMBERS),
        ("BatchItemStatus", enums.BATCH_ITEM_STATUS_BY_NUMBER, enums.BATCH_ITEM_STATUS_NUMBERS),
        ("ItemErrorCode", enums.ITEM_ERROR_CODE_BY_NUMBER, enums.ITEM_ERROR_CODE_NUMBERS),
    ],
)
def test_numbers_are_those_of_the_wire(
    name: str, by_number: Mapping[int, StrEnum], numbers: Mapping[StrEnum, int]
) -> None:
    (descriptor,) = (enum for enum in ENUMS if enum.name == name)
    assert {member.name: number for member, number in numbers.items()} == wire_numbers(descriptor)
    assert {member: number for number, member in by_number.items()} == numbers


def test_stubs_carry_no_trace_of_validation() -> None:
    for stub in STUBS:
        assert not re.search(rb"buf.validate", stub.serialized_pb), f"{stub.name}: see scripts/generate.py"


def test_stubs_leave_room_for_another_copy_of_validation() -> None:
    code = """
from google.protobuf import descriptor_pb2, descriptor_pool
from imagebatch.v1 import batch_service_pb2_grpc, image_service_pb2_grpc, error_reason_pb2
other = descriptor_pb2.FileDescriptorProto(name="buf/validate/validate.proto", package="buf.validate")
other.message_type.add(name="FieldRules")
descriptor_pool.Default().AddSerializedFile(other.SerializeToString())
print("loaded")
"""
    assert run_python(code) == "loaded"


def test_annotated_descriptors_load_in_a_pool_of_their_own() -> None:
    pool = descriptor_pool.DescriptorPool()
    for file in annotated().file:
        pool.AddSerializedFile(file.SerializeToString())
    for stub in STUBS:
        assert pool.FindFileByName(stub.name).message_types_by_name.keys() == stub.message_types_by_name.keys()
    with_rules = pool.FindFileByName("imagebatch/v1/types.proto").dependencies
    assert "buf/validate/validate.proto" in [dependency.name for dependency in with_rules]


def test_annotated_descriptors_hold_the_rules_without_comments() -> None:
    assert b"image_url.scheme" in annotated().SerializeToString()
    assert not any(file.HasField("source_code_info") for file in annotated().file)


def test_validation_rules_are_vendored_unchanged() -> None:
    content = (ROOT / "protos/buf/validate/validate.proto").read_bytes()
    assert hashlib.sha256(content).hexdigest() == VALIDATE_PROTO_SHA256


def test_lower_bounds_are_those_that_the_stubs_check() -> None:
    project = tomllib.loads((ROOT / "client/pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = ROOT / "generated/imagebatch/v1"
    messages = (package / "types_pb2.py").read_text(encoding="utf-8")
    services = (package / "batch_service_pb2_grpc.py").read_text(encoding="utf-8")
    (protobuf,) = re.findall(r"^# Protobuf Python Version: (.+)$", messages, re.MULTILINE)
    (grpcio,) = re.findall(r"^GRPC_GENERATED_VERSION = '(.+)'$", services, re.MULTILINE)
    assert f"protobuf>={protobuf}" in project["dependencies"]
    assert f"grpcio>={grpcio}" in project["dependencies"]
