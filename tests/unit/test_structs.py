"""The Struct converter against protobuf's own reading and writing."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from imagebatch_server import structs

_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-structs.MAX_EXACT_INTEGER, structs.MAX_EXACT_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
_values = st.recursive(_leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
_mappings = st.dictionaries(st.text(), _values)


@given(_mappings)
def test_what_is_written_reads_back_equal(value: dict[str, Any]) -> None:
    assert structs.to_dict(structs.from_dict(value)) == value


@given(_mappings)
def test_protobuf_reads_what_is_written(value: dict[str, Any]) -> None:
    assert MessageToDict(Struct.FromString(structs.from_dict(value))) == value


@given(_mappings)
def test_what_protobuf_writes_is_read(value: dict[str, Any]) -> None:
    message = Struct()
    message.update(value)
    assert structs.to_dict(message.SerializeToString()) == value


def test_whole_numbers_come_back_as_int_and_others_as_float() -> None:
    read = structs.to_dict(structs.from_dict({"three": 3.0, "half": 0.5, "edge": 2**53, "huge": 1e300, "yes": True}))
    assert {key: type(value) for key, value in read.items()} == {
        "three": int, "half": float, "edge": int, "huge": float, "yes": bool
    }  # fmt: skip


def test_absent_bytes_are_an_empty_mapping() -> None:
    assert structs.to_dict(None) == {}
    assert structs.to_dict(b"") == {}
    assert structs.from_dict({}) == b""


def test_foreign_numbers_that_json_has_not_are_left_as_they_are() -> None:
    message = Struct()
    message.fields["n"].number_value = math.nan
    message.fields["i"].number_value = -math.inf
    message.fields["unset"].SetInParent()
    read = structs.to_dict(message.SerializeToString())
    assert math.isnan(read["n"])
    assert read["i"] == -math.inf
    assert read["unset"] is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": math.nan}, "a: nan"),
        ({"a": {"b": [1, math.inf]}}, r"a\.b\[1\]: inf"),
        ({"a": [2**53 + 1]}, rf"a\[0\]: {2**53 + 1} is beyond 2\^53"),
        ({"a": {"b": b"bytes"}}, r"a\.b: a value of type bytes"),
        ({"a": {1: "x"}}, r"a\.1: a key of type int"),
        ({"a": "\ud800"}, "a: the text holds a lone surrogate"),
        ({"a": {"\ud800": 1}}, r"a\.\\ud800: the text holds a lone surrogate"),
    ],
)
def test_what_a_struct_cannot_hold_is_refused_by_path(value: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        structs.from_dict(value)


def _nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"k": value}
    return value


def test_nesting_stops_where_parsers_do() -> None:
    deepest = structs.from_dict(_nested(structs.MAX_DEPTH))
    assert structs.to_dict(deepest) == _nested(structs.MAX_DEPTH)
    with pytest.raises(ValueError, match=r"^k\.k\..*nested deeper than 30 levels"):
        structs.from_dict(_nested(structs.MAX_DEPTH + 1))


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05ab", b"not a struct"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"no serialised google\.protobuf\.Struct"):
        structs.to_dict(data)
    assert not structs.is_struct(data)
