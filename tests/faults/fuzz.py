"""Requests that nobody meant: of every message of the contract, valid, nearly valid and absurd."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st
from tests.integration.server import pictures

from imagebatch.v1 import batch_service_pb2, image_service_pb2

SERVICES = (
    batch_service_pb2.DESCRIPTOR.services_by_name["BatchService"],
    image_service_pb2.DESCRIPTOR.services_by_name["ImageService"],
)
METHODS: Sequence[MethodDescriptor] = [method for service in SERVICES for method in service.methods]

PNG = pictures.data_url(pictures.drawn(size=(2, 2)))
TEXTS = [
    "", " ", "a", "A" * 200, "é\U0001f600", "\0", "a\0b", "\n", "../../etc/passwd", "%00", "'; DROP TABLE batches; --",
    "*", "x" * 9_000, "\ufeff", "\u202e", "null", "-1",
]  # fmt: skip
STRINGS: Mapping[str, Sequence[str]] = {
    "operation": ["noop", "noop", "noop", "describe", "unknown"],
    "image_url": ["http://127.0.0.1/a", "https://host.invalid/b", "ftp://x", "http://", "http://[::1"],
    "image_base64": [PNG, "data:image/png;base64,", "data:image/png;base64,AAA", "data:image/svg+xml;base64,AAAA"],
    "request_id": ["r1", "r2", "r3"],
    "item_id": ["a", "b", "a/b:c.d-e_f"],
    "item_ids": ["a", "b"],
    "paths": ["priority", "labels"],
    "content_type": ["image/png", "image/jpeg"],
    "file_name": ["a.png", "../a", "/etc/passwd", "C:\\a"],
}
"""By field: what makes a request pass further in."""

NUMBERS = [-(2**31), -1, 0, 1, 2, 5, 10, 100, 1_000, 2**31 - 1]
LARGE_NUMBERS = [-(2**63), -(2**62), *NUMBERS, 2**53 + 1, 2**63 - 1]
REALS = [0.0, -1.0, 0.5, 1.0, 1.5, 1e308, 5e-324, float("inf"), float("-inf"), float("nan")]
MOST_REPEATED = 4
MOST_DEEP = 5
MOST_CHANGED = 2


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor, known: Mapping[str, Sequence[str]], depth: int = 0) -> Message:
    """Any message of this type; `known` has strings by field's name that the server would recognise."""
    message: Message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields if depth <= MOST_DEEP else ():
        if draw(st.booleans()):
            _set(message, field.name, draw(_values(field, known, depth)))
    return message


@st.composite
def nearly(draw: st.DrawFn, good: Sequence[Message], known: Mapping[str, Sequence[str]]) -> Message:
    """One of these good messages with a few fields changed, of itself or of what is in it."""
    message = copy.deepcopy(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(0, MOST_CHANGED))):
        _change(draw, message, known, 0)
    return message


def _change(draw: st.DrawFn, message: Any, known: Mapping[str, Sequence[str]], depth: int) -> None:
    fields = list(message.DESCRIPTOR.fields)
    if not fields or depth > MOST_DEEP:
        return
    field = draw(st.sampled_from(fields))
    inside = _inside(draw, message, field)
    if inside is not None and draw(st.integers(0, 3)):
        _change(draw, inside, known, depth + 1)
        return
    message.ClearField(field.name)
    if draw(st.integers(0, 2)):
        _set(message, field.name, draw(_values(field, known, depth)))


def _inside(draw: st.DrawFn, message: Any, field: FieldDescriptor) -> Any:
    """Make a message that stands in this field."""
    if field.message_type is None or field.message_type.GetOptions().map_entry:
        return None
    if not field.is_repeated:
        return getattr(message, field.name) if message.HasField(field.name) else None
    values = list(getattr(message, field.name))
    return draw(st.sampled_from(values)) if values else None


def _set(message: Any, name: str, value: Any) -> None:
    field = getattr(message, name)
    if isinstance(value, Message):
        field.CopyFrom(value)
    elif isinstance(value, list):
        field.extend(value)
    elif isinstance(value, dict):
        for key, one in value.items():
            if isinstance(one, Message):
                field[key].CopyFrom(one)
            else:
                field[key] = one
    else:
        setattr(message, name, value)


def _values(field: FieldDescriptor, known: Mapping[str, Sequence[str]], depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        return st.dictionaries(_one(key, known, depth), _one(value, known, depth), max_size=MOST_REPEATED)
    one = _one(field, known, depth)
    return st.lists(one, max_size=MOST_REPEATED) if field.is_repeated else one


def _one(field: FieldDescriptor, known: Mapping[str, Sequence[str]], depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(field.message_type, known, depth + 1)
    if field.enum_type is not None:
        return st.sampled_from([*(value.number for value in field.enum_type.values), 99, -1])
    if field.type == field.TYPE_STRING:
        likely = [*STRINGS.get(field.name, ()), *known.get(field.name, ())]
        absurd = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
        return st.sampled_from(likely) | st.sampled_from(likely) | absurd if likely else absurd
    if field.type == field.TYPE_BYTES:
        return st.binary(max_size=200)
    if field.type == field.TYPE_BOOL:
        return st.booleans()
    if field.type in (field.TYPE_DOUBLE, field.TYPE_FLOAT):
        return st.sampled_from(REALS) | st.floats()
    if field.type == field.TYPE_INT64:
        return st.sampled_from(LARGE_NUMBERS)
    return st.sampled_from(NUMBERS)
