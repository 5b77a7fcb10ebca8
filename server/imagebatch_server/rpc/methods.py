"""The contract's rpcs, found in its descriptors, and the servicers' methods that answer them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from imagebatch.v1 import batch_service_pb2, image_service_pb2
from imagebatch_server.rpc.batch_service import BatchServicer
from imagebatch_server.rpc.image_service import ImageServicer


@dataclass(frozen=True, slots=True)
class Method:
    """One rpc. `answer` takes a request, or an iterator of them, and the Call; what it answers may be bytes."""

    path: str
    """`/package.Service/Method`."""
    name: str
    """`Method`."""
    request: type[Message]
    response: type[Message]
    takes_stream: bool
    answers_stream: bool
    answer: Callable[..., Any]


def contract(batches: BatchServicer, images: ImageServicer) -> Iterator[Method]:
    """All rpcs of the contract that the servicers have; others are unimplemented, as gRPC answers them."""
    yield from _methods(batch_service_pb2.DESCRIPTOR.services_by_name["BatchService"], batches)
    yield from _methods(image_service_pb2.DESCRIPTOR.services_by_name["ImageService"], images)


def _methods(service: ServiceDescriptor, servicer: object) -> Iterator[Method]:
    for described in service.methods:
        answer = getattr(servicer, described.name, None)
        if answer is not None:
            yield Method(
                path=f"/{service.full_name}/{described.name}",
                name=described.name,
                request=message_factory.GetMessageClass(described.input_type),
                response=message_factory.GetMessageClass(described.output_type),
                takes_stream=described.client_streaming,
                answers_stream=described.server_streaming,
                answer=answer,
            )
