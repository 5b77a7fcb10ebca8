"""Requests that a parser refuses, or doesn't know all of: what is wrong is named, field by field."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st
from tests.wire import field, nested

from imagebatch.v1 import batch_service_pb2 as batches
from imagebatch.v1 import types_pb2 as types
from imagebatch_server.rpc.faults import faults

SUBMIT = batches.SubmitBatchRequest


def found(data: bytes) -> dict[str, str]:
    return {violation.field: violation.description for violation in faults(data, SUBMIT.DESCRIPTOR)}


GOOD = SUBMIT(
    options=batches.BatchOptions(operation="é", labels={"a": "b", "": ""}, priority=3, failure_limit=0.5),
    items=[types.BatchImageInput(object_key="k", metadata=Struct()) for _ in range(3)],
)
GOOD.options.item_timeout.FromSeconds(3)
GOOD.items[1].metadata.update({"a": {"b": [1, None, "x", {}]}, "": True})


def test_a_good_request_has_none() -> None:
    assert found(GOOD.SerializeToString()) == {}


@pytest.mark.parametrize("lists", [False, True])
def test_nesting_that_parsers_refuse_has_its_path(lists: bool) -> None:
    for levels in (31, 120, 2_000):
        data = field(2, b"") + field(2, field(4, nested(levels, lists=lists)))
        ((path, text),) = found(data).items()
        assert path == "items[1].metadata.k" + ("[0]" * 29 if lists else ".k" * 29)
        assert "deeper than 30 levels" in text
    assert found(field(2, field(4, nested(30, lists=lists)))) == {}
    with pytest.raises(DecodeError):
        SUBMIT.FromString(field(2, field(4, nested(120, lists=lists))))


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (field(1, field(1, b"\xff")), "options.operation"),
        (field(2, b"") + field(2, field(5, b"a\xed\xa0\x80")), "items[1].item_id"),
        (field(1, field(4, field(1, b"k") + field(2, b"\xff"))), 'options.labels["k"]'),
        (field(1, field(4, field(1, b"\xff") + field(2, b""))), 'options.labels[""]'),
        (field(2, field(4, field(1, field(1, b"k") + field(2, field(3, b"\xff"))))), "items[0].metadata.k"),
        (field(2, field(4, field(1, field(1, b"\xff") + field(2, field(3, b""))))), "items[0].metadata."),
    ],
)
def test_text_that_is_not_utf8_has_its_path(data: bytes, path: str) -> None:
    with pytest.raises(DecodeError):
        SUBMIT.FromString(data)
    ((at, text),) = found(data).items()
    assert at == path
    assert "UTF-8" in text


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (field(99, b"x"), "99"),
        (field(1, field(536_870_911, b"")), "options.536870911"),
        (field(2, b"") + field(2, field(77, b"")), "items[1].77"),
        (field(1, field(7, field(3, b""))), "options.item_timeout.3"),
        (field(2, field(4, field(1, field(1, b"k") + field(2, field(9, b""))))), "items[0].metadata.k.9"),
        (
            field(1, b"\x08\x01"),
            "options.1",
        ),  # the operation as a number, which parsers take for a field of another kind
        (field(2, b"\xf3\x01\xf4\x01"), "items[0].30"),  # a group
    ],
)
def test_what_the_contract_has_not_is_named_by_number_and_path(data: bytes, path: str) -> None:
    ((at, text),) = found(data).items()
    assert at == path
    assert f"field {path.rpartition('.')[2]} " in text
    request = SUBMIT.FromString(data)
    size_bytes = request.ByteSize()
    request.DiscardUnknownFields()
    assert request.ByteSize() < size_bytes, "protobuf agrees"


def test_many_of_one_number_are_named_once() -> None:
    assert list(found(field(99, b"") * 50)) == ["99"]


@given(st.binary(max_size=200))
def test_any_bytes_that_are_refused_are_explained(data: bytes) -> None:
    _explained(data)


@given(st.data())
def test_a_good_request_with_a_changed_byte_is_explained(draw: st.DataObject) -> None:
    data = bytearray(GOOD.SerializeToString())
    data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    _explained(bytes(data))


def _explained(data: bytes) -> None:
    try:
        request = SUBMIT.FromString(data)
    except DecodeError:
        assert found(data)
        return
    size_bytes = request.ByteSize()
    request.DiscardUnknownFields()
    assert bool(found(data)) == (request.ByteSize() != size_bytes)
