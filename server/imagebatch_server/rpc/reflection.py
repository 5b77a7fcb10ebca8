"""Server reflection by the name that current tools ask for first, and by the older one that the library knows.

The two differ in nothing but the package's name, so one servicer answers both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc import aio
from grpc_reflection.v1alpha import reflection, reflection_pb2

OLD_PACKAGE = "grpc.reflection.v1alpha"
PACKAGE = "grpc.reflection.v1"
NAMES = (f"{PACKAGE}.ServerReflection", reflection.SERVICE_NAME)


def add_to(server: aio.Server, files: Sequence[FileDescriptor]) -> None:
    """Let the server tell of all services in the files, and of reflection itself."""
    names = [service.full_name for file in files for service in file.services_by_name.values()]
    servicer = reflection.aio.ReflectionServicer([*names, *NAMES], pool=_pool(files))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handlers = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, handlers) for name in NAMES])


def _pool(files: Sequence[FileDescriptor]) -> DescriptorPool:
    """Load the files and all that they import into a pool of their own: the process may know another reflection."""
    pool = DescriptorPool()
    known: set[str] = set()

    def add(file: Any) -> None:  # the stubs leave out of what kind dependencies are
        if file.name not in known:
            known.add(file.name)
            for dependency in file.dependencies:
                add(dependency)
            pool.AddSerializedFile(file.serialized_pb)

    for file in (*files, reflection_pb2.DESCRIPTOR):
        add(file)
    pool.AddSerializedFile(_renamed().SerializeToString())
    return pool


def _renamed() -> FileDescriptorProto:
    renamed = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(renamed)
    renamed.name = f"{PACKAGE.replace('.', '/')}/reflection.proto"
    renamed.package = PACKAGE
    for message in renamed.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = _of_package(field.type_name)
    for service in renamed.service:
        for method in service.method:
            method.input_type, method.output_type = _of_package(method.input_type), _of_package(method.output_type)
    return renamed


def _of_package(type_name: str) -> str:
    return type_name.replace(f".{OLD_PACKAGE}.", f".{PACKAGE}.")
