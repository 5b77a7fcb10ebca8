from __future__ import annotations

import datetime as dt
import math
import time
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from imagebatch_client.errors import InvalidRequestError
from imagebatch_client.structs import dict_from_struct, fill_struct

_NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


def struct_of(values: dict[str, Any]) -> Struct:
    struct = Struct()
    fill_struct(struct, values, "metadata")
    return struct


@given(st.dictionaries(_TEXT, _JSON, max_size=6))
def test_what_is_sent_comes_back_equal_over_the_wire(values: dict[str, Any]) -> None:
    received = Struct.FromString(struct_of(values).SerializeToString())
    assert dict_from_struct(received) == values


@given(st.dictionaries(_TEXT, _JSON, max_size=6))
def test_reading_agrees_with_protobufs_own_converter(values: dict[str, Any]) -> None:
    struct = struct_of(values)
    assert dict_from_struct(struct) == json_format.MessageToDict(struct)


@pytest.mark.parametrize(
    ("sent", "type_received"),
    [(3, int), (3.0, int), (0, int), (-7, int), (2**53, int), (0.5, float), (1e300, float), (True, bool), ("", str)],
)
def test_types_that_come_back(sent: object, type_received: type) -> None:
    value = dict_from_struct(struct_of({"value": sent}))["value"]
    assert value == sent
    assert type(value) is type_received


def test_empty_containers_and_null_are_kept() -> None:
    values: dict[str, Any] = {"none": None, "list": [], "dict": {}, "lists": [[], [None], {}]}
    assert dict_from_struct(struct_of(values)) == values


def test_an_empty_dict_is_sent_as_a_present_struct() -> None:
    from imagebatch.v1 import types_pb2

    message = types_pb2.BatchImageInput()
    fill_struct(message.metadata, {}, "metadata")
    assert message.HasField("metadata")


def test_tuples_are_lists() -> None:
    assert dict_from_struct(struct_of({"pair": (1, "a")})) == {"pair": [1, "a"]}


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"a": 2**53 + 1}, "metadata.a", "beyond 2^53"),
        ({"a": {"b": [0, math.nan]}}, "metadata.a.b[1]", "not a JSON number"),
        ({"a": [math.inf]}, "metadata.a[0]", "not a JSON number"),
        ({"a": {1: "x"}}, "metadata.a", "keys are strings"),
        ({"when": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}, "metadata.when", "is datetime, not a JSON value"),
        ({"raw": b"x"}, "metadata.raw", "is bytes"),
        ({"set": {1}}, "metadata.set", "is set"),
        ({"text": "\ud800"}, "metadata.text", "not valid Unicode"),
        ({"\ud800": 1}, "metadata", "not valid Unicode"),
    ],
)
def test_what_a_struct_cannot_hold_is_refused_by_its_path(values: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        struct_of(values)
    assert [violation.field for violation in caught.value.violations] == [field]
    assert words in str(caught.value)
    assert field in str(caught.value)


def test_a_dict_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(InvalidRequestError, match="nested deeper than 30"):
        struct_of(endless)


def test_the_deepest_dict_allowed_can_be_parsed_inside_a_request() -> None:
    from imagebatch.v1 import batch_service_pb2

    values: dict[str, Any] = {}
    for _ in range(29):
        values = {"inner": values}
    request = batch_service_pb2.SubmitBatchRequest()
    fill_struct(request.items.add().metadata, values, "metadata")
    parsed = batch_service_pb2.SubmitBatchRequest.FromString(request.SerializeToString())
    assert dict_from_struct(parsed.items[0].metadata) == values


def test_reading_is_at_least_one_and_a_half_times_as_fast_as_message_to_dict() -> None:
    struct = struct_of(
        {
            "description": "The image looks like a tabby cat (82 %). Dominant colours are grey and brown.",
            "confidence_score": 0.8231,
            "tags": ["tabby", "cat", "animal"],
            "visible_text": "",
            "format": "jpeg",
            "width": 1024,
            "height": 768,
            "colors": [{"name": "grey", "share": 0.5}, {"name": "brown", "share": 0.3}],
            "quality": {"sharpness": 0.7, "brightness": 0.5, "is_blurred": False},
        }
    )

    def round_s(convert: Any) -> float:
        started = time.thread_time()
        for _ in range(25):
            convert(struct)
        return time.thread_time() - started

    # In turn, and the least disturbed round of each: other processes slow both alike, now and then.
    rounds = [(round_s(json_format.MessageToDict), round_s(dict_from_struct)) for _ in range(100)]
    theirs_s, ours_s = (min(times) for times in zip(*rounds, strict=True))
    assert theirs_s / ours_s >= 1.5
