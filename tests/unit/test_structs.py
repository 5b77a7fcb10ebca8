"""The Struct converter against protobuf's own reading and writing."""

from __future__ import annotations

import math
from collections.abc import Callable
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
_mappings = st.dictionaries(st.text(), _values, max_size=6)


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
    assert not structs.is_fit(data)


def _of_bytes(build: Callable[[Struct], object]) -> bytes:
    message = Struct()
    build(message)
    return message.SerializeToString()


def _deep(levels: int, *, lists: bool) -> bytes:
    """So many levels, written by protobuf itself; below the first they are objects, or lists."""
    message = Struct()
    value = message.fields["k"]
    for _ in range(levels - 2):
        value = value.list_value.values.add() if lists else value.struct_value.fields["k"]
    (value.list_value if lists else value.struct_value).SetInParent()
    return message.SerializeToString()


@pytest.mark.parametrize("lists", [False, True])
def test_a_level_too_many_is_unfit(lists: bool) -> None:
    assert list(structs.unfit_values(_deep(30, lists=lists))) == []
    (unfit,) = structs.unfit_values(_deep(31, lists=lists))
    assert unfit.path == (".k" + "[0]" * 29 if lists else ".k" * 30)
    assert "deeper than 30 levels" in unfit.why
    assert not structs.is_fit(_deep(31, lists=lists))


@pytest.mark.parametrize(
    ("data", "path", "why"),
    [
        (_of_bytes(lambda m: m.update({"a": {"b": [1, math.nan]}})), ".a.b[1]", "nan"),
        (_of_bytes(lambda m: m.update({"a": math.inf})), ".a", "inf"),
        (_of_bytes(lambda m: m.update({"a": -math.inf})), ".a", "-inf"),
        (_of_bytes(lambda m: m.fields["a"].SetInParent()), ".a", "no kind"),
        (_of_bytes(lambda m: m.fields[""].SetInParent()), ".", "no kind"),
        (_of_bytes(lambda m: m.fields["a"].list_value.values.add()), ".a[0]", "no kind"),
    ],
)
def test_what_json_has_not_is_unfit(data: bytes, path: str, why: str) -> None:
    (unfit,) = structs.unfit_values(data)
    assert unfit.path == path
    assert why in unfit.why
    assert not structs.is_fit(data)


def test_a_number_that_is_none_is_found_however_its_bits_are_set() -> None:
    data = _of_bytes(lambda m: m.update({"a": 1.5}))
    for bits in (b"\x01\0\0\0\0\0\xf0\x7f", b"\xff" * 8, b"\0\0\0\0\0\0\xf8\xff"):
        assert not structs.is_fit(data.replace(b"\0\0\0\0\0\0\xf8\x3f", bits))


@given(_mappings)
def test_what_json_has_is_fit(value: dict[str, Any]) -> None:
    data = structs.from_dict(value)
    assert list(structs.unfit_values(data)) == []
    assert structs.is_fit(data)
    assert structs.fit(data) == data


def test_a_text_takes_the_place_of_what_is_unfit_and_of_nothing_else() -> None:
    message = Struct()
    message.update({"keep": 2, "bad": [math.nan, 3]})
    message.fields["none"].SetInParent()
    message.fields["deep"].ParseFromString(Struct.FromString(_deep(47, lists=True)).fields["k"].SerializeToString())
    left = structs.to_dict(structs.fit(message.SerializeToString()))
    assert left["keep"] == 2
    assert left["bad"] == ["(left out: it is nan, which is no JSON number)", 3]
    assert left["none"] == "(left out: it is a Value of no kind)"
    depth = 1
    value = left["deep"]
    while isinstance(value, list):
        depth, (value,) = depth + 1, value
    assert depth == 30
    assert value == "(left out: it is nested deeper than 30 levels, which parsers refuse)"
