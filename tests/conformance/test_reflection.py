"""A client that has no stubs and no .proto files: it asks the server for its descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from operator import methodcaller
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tests.integration.server import pictures
from tests.operations import open_gate
from tests.server import ServerProcess

ITEMS = 50

serialised = methodcaller("SerializeToString")  # the classes made here override the base's method


class Reflected:
    """Call any method of a service with dictionaries, by what reflection tells of it."""

    def __init__(self, channel: grpc.Channel, service: str) -> None:
        self._channel = channel
        self._service = DescriptorPool(ProtoReflectionDescriptorDatabase(channel)).FindServiceByName(service)

    def unary(self, method: str, **request: Any) -> dict[str, Any]:
        path, message, read = self._method(method, request)
        answer = self._channel.unary_unary(path, serialised, read)(message, timeout=20)
        return as_dict(answer)

    def stream(self, method: str, **request: Any) -> Any:
        """Begin a call that can be cancelled."""
        path, message, read = self._method(method, request)
        return self._channel.unary_stream(path, serialised, read)(message, timeout=60)

    def _method(self, name: str, request: dict[str, Any]) -> tuple[str, Message, Any]:
        method = self._service.methods_by_name[name]
        message = json_format.ParseDict(request, message_factory.GetMessageClass(method.input_type)())
        return (
            f"/{self._service.full_name}/{name}",
            message,
            message_factory.GetMessageClass(method.output_type).FromString,
        )


def as_dict(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


@pytest.fixture
def batches(server: ServerProcess) -> Iterator[Reflected]:
    with grpc.insecure_channel(server.address) as channel:
        yield Reflected(channel, "imagebatch.v1.BatchService")


def test_submit_watch_resume_and_page(batches: Reflected, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    open_gate(gate, ITEMS // 2)
    item = {"image_base64": pictures.data_url(pictures.drawn()), "metadata": {"from": "reflection"}}
    options = {"operation": "paced", "parameters": {"gate": str(gate)}}
    submitted = batches.unary("SubmitBatch", options=options, items=[item] * ITEMS)
    assert (submitted["status"], submitted["total_items"]) == ("BATCH_STATUS_PENDING", ITEMS)
    batch_id = submitted["batch_id"]
    seen: list[dict[str, Any]] = []
    position = "0"  # 64-bit numbers are strings in JSON

    cut = batches.stream("WatchBatch", batch_id=batch_id)
    for message in cut:
        update = as_dict(message)
        seen += update["results"]
        position = update["sequence"]
        if len(seen) >= ITEMS // 4:
            cut.cancel()
            break
    assert len(seen) <= ITEMS // 2
    open_gate(gate, ITEMS)

    updates = [as_dict(message) for message in batches.stream("WatchBatch", batch_id=batch_id, after_sequence=position)]
    seen += [result for update in updates for result in update["results"]]
    assert [int(result["sequence"]) for result in seen] == list(range(1, ITEMS + 1))
    assert sorted(result["item_index"] for result in seen) == list(range(ITEMS))
    assert updates[-1]["status"]["status"] == "BATCH_STATUS_COMPLETED"

    paged: list[dict[str, Any]] = []
    has_more = True
    while has_more:
        page = batches.unary("GetBatchResults", batch_id=batch_id, offset=len(paged), limit=20)
        paged += page["results"]
        has_more = page["pagination"]["has_more"]
    assert [result["item_index"] for result in paged] == list(range(ITEMS))
    assert paged == sorted(seen, key=lambda result: result["item_index"])
    assert paged[0]["input_data"]["metadata"] == {"from": "reflection"}
    assert paged[0]["output_data"] == {"description": "64 x 48"}


def test_errors_name_the_field(batches: Reflected) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        batches.unary("SubmitBatch", options={"operation": "scripted"}, items=[])
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "items: is empty" in (caught.value.details() or "")


def test_what_a_stranger_learns(batches: Reflected) -> None:
    names = [operation["name"] for operation in batches.unary("ListOperations")["operations"]]
    assert "describe" in names
    assert batches.unary("GetServerInfo")["limits"]["max_items_per_submit"] == 10_000
