"""The rows and messages that our server would write and send for a batch of no-op items, made beforehand."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.struct_pb2 import Struct
from sqlalchemy import Table, TypeDecorator

from benchmarks import work
from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch_server.store.tables import batches, items, outcomes

TENANT = "default"
OBJECT_KEY = "default.0123456789abcdef0123456789abcdef"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PATTERN = 23_456_789  # its eight bytes as a double stand nowhere else in a pattern


class _Pattern:
    """A Struct's bytes with the index and the name to be put in: a million of them in seconds."""

    def __init__(self, value: Mapping[str, Any]) -> None:
        message = Struct()
        message.update(value)
        data = message.SerializeToString(deterministic=True)
        self._name = work.name_of(_PATTERN).encode()
        self._number = struct.pack("<d", _PATTERN)
        if data.count(self._name) != 1 or data.count(self._number) != 1:
            raise ValueError("the pattern's index or name is not there once")
        self._data = data

    def __call__(self, index: int) -> bytes:
        named = self._data.replace(self._name, work.name_of(index).encode())
        return named.replace(self._number, struct.pack("<d", index))


metadata_bytes = _Pattern(work.metadata_of(_PATTERN))
output_bytes = _Pattern(work.answer(work.metadata_of(_PATTERN)))


def new_batch_id() -> str:
    """Make an id such as the server makes."""
    return str(uuid.UUID(int=uuid.uuid4().int & ~(0xF << 76) | 0x7 << 76))


def batch_row(batch_id: str, count: int, at: Any) -> dict[str, Any]:
    """Make a finished batch of `count` items."""
    values = {
        "tenant": TENANT,
        "batch_id": batch_id,
        "visible": True,
        "operation": "noop",
        "labels": {},
        "priority": 5,
        "skip_duplicates": False,
        "item_timeout_s": 60.0,
        "max_attempts": 3,
        "status": "completed",
        "total_items": count,
        "successful_items": count,
        "processing_time_ms": count,
        "timed_items": count,
        "last_sequence": count,
        "owner": "embedded",
        "owner_epoch": 1,
        "created_at": at,
        "started_at": at,
        "completed_at": at,
    }
    return {column.name: values[column.name] if column.name in values else _empty(column) for column in batches.columns}


def item_row(batch_id: str, index: int) -> tuple[Any, ...]:
    """Make a row of `items`, in the order of its columns."""
    return _ordered(
        items,
        {
            "tenant": TENANT,
            "batch_id": batch_id,
            "item_index": index,
            "object_key": OBJECT_KEY,
            "metadata": metadata_bytes(index),
        },
    )


def outcome_row(batch_id: str, index: int, at: Any, preview_object_key: str | None = None) -> tuple[Any, ...]:
    """Make a row of `outcomes`, in the order of its columns."""
    return _ordered(
        outcomes,
        {
            "tenant": TENANT,
            "batch_id": batch_id,
            "item_index": index,
            "sequence": index + 1,
            "status": "success",
            "output_data": output_bytes(index),
            "processing_time_ms": 1,
            "attempts": 1,
            "image_sha256": SHA256,
            "preview_object_key": preview_object_key,
            "completed_at": at,
        },
    )


def result_messages(batch_id: str, count: int, results_a_message: int) -> list[bytes]:
    """Make what a watch sends of them, in messages of `results_a_message`."""
    at = datetime.now(UTC)
    messages = []
    for first in range(0, count, results_a_message):
        indexes = range(first, min(count, first + results_a_message))
        message = batch_service_pb2.WatchBatchResponse(
            results=[_result(batch_id, index, at) for index in indexes], sequence=indexes[-1] + 1
        )
        messages.append(message.SerializeToString())
    return messages


def _result(batch_id: str, index: int, at: datetime) -> types_pb2.BatchItemResult:
    result = types_pb2.BatchItemResult(
        item_id=f"{batch_id}-{index}",
        item_index=index,
        status=types_pb2.BATCH_ITEM_STATUS_SUCCESS,
        processing_time_ms=1,
        stored_image_url=f"file:///tmp/imagebatch-benchmarks-01234567/data/images/0/1/{OBJECT_KEY}",
        sequence=index + 1,
        attempts=1,
        image_sha256=SHA256,
    )
    result.completed_at.FromDatetime(at)
    result.input_data.update({"object_key": OBJECT_KEY})
    result.input_data.fields["metadata"].struct_value.ParseFromString(metadata_bytes(index))
    result.output_data.ParseFromString(output_bytes(index))
    return result


def _ordered(table: Table, values: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(values.get(name, empty) for name, empty in _EMPTY[table.name])


def _empty(column: Any) -> Any:
    plain = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    return None if column.nullable else plain.python_type()


_EMPTY: Mapping[str, Sequence[tuple[str, Any]]] = {
    table.name: [
        (column.name, None if column.nullable or column.name.endswith("_at") else _empty(column))
        for column in table.columns
    ]
    for table in (items, outcomes)
}
