from __future__ import annotations

import gzip as python_gzip
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from imagebatch.v1 import batch_service_pb2
from imagebatch_server.batches.errors import InvalidRequest, LimitExceeded, NotSupported
from imagebatch_server.http.codecs import Codec, accepted, from_json, gunzip, gzip, to_json
from imagebatch_server.http.envelopes import unwrap, wrap

MAX_BYTES = 10_000
REQUEST = batch_service_pb2.GetBatchStatusRequest


@pytest.fixture
def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1)


def test_what_was_compressed_is_what_comes_out() -> None:
    data = b"abc" * 3_000
    assert gunzip(gzip(data), MAX_BYTES) == data
    assert gunzip(python_gzip.compress(data), MAX_BYTES) == data
    assert python_gzip.decompress(gzip(data)) == data


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(LimitExceeded) as caught:
        gunzip(python_gzip.compress(bytes(50_000_000)), MAX_BYTES)
    assert (caught.value.limit.name, caught.value.limit.observed) == ("max_request_bytes", MAX_BYTES + 1)


@pytest.mark.parametrize("data", [b"", b"abc", gzip(b"abc" * 100)[:-9], gzip(b"a") + gzip(b"b"), gzip(b"a") + b"x"])
def test_what_is_no_one_whole_stream_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        gunzip(data, MAX_BYTES)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"nothing": 1}', b'{"batchId": 5}', b"\xff", b'{"a":' * 100_000, b"1" * 5_000]
)
def test_json_that_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        from_json(REQUEST, data)
    assert "can't be read as the JSON of imagebatch.v1.GetBatchStatusRequest" in str(caught.value)


def test_json_takes_both_names_of_a_field_and_gives_one() -> None:
    for name in ("batch_id", "batchId"):
        data = from_json(REQUEST, json.dumps({name: "b"}).encode())
        assert REQUEST.FromString(data).batch_id == "b"
        assert to_json(REQUEST, data) == b'{"batchId":"b"}'


async def test_a_large_request_is_read_in_a_thread(threads: ThreadPoolExecutor) -> None:
    codec = Codec("json", threads, MAX_BYTES * 10)
    batch_id = "b" * 50_000
    data = await codec.request(REQUEST, gzip(json.dumps({"batchId": batch_id}).encode()), "gzip")
    assert REQUEST.FromString(data).batch_id == batch_id


async def test_small_responses_are_not_compressed(threads: ThreadPoolExecutor) -> None:
    codec = Codec("proto", threads, MAX_BYTES)
    assert await codec.response(REQUEST, b"abc", "gzip") == (b"abc", False)
    large, is_compressed = await codec.response(REQUEST, b"abc" * 1_000, "gzip")
    assert is_compressed
    assert python_gzip.decompress(large) == b"abc" * 1_000
    assert await codec.response(REQUEST, b"abc" * 1_000, "identity") == (b"abc" * 1_000, False)


async def test_an_unknown_compression_is_named(threads: ThreadPoolExecutor) -> None:
    with pytest.raises(NotSupported, match=r"'br'.*send gzip or none"):
        await Codec("proto", threads, MAX_BYTES).request(REQUEST, b"", "br")


@pytest.mark.parametrize(
    ("header", "chosen"),
    [("", "identity"), ("br, gzip", "gzip"), ("gzip;q=0.5", "gzip"), ("gzip;q=0", "identity"), ("*", "identity")],
)
def test_the_compression_is_one_that_is_accepted(header: str, chosen: str) -> None:
    assert accepted(header) == chosen


def test_an_envelope_holds_one_message() -> None:
    assert unwrap(b"".join(wrap(0, b"abc"))) == (0, b"abc")
    assert unwrap(b"".join(wrap(1, b""))) == (1, b"")
    whole = b"".join(wrap(0, b"abc"))
    for body in (b"", b"\0\0\0\0", whole[:-1], whole + whole, b"".join(wrap(0x80, b"abc"))):
        with pytest.raises(InvalidRequest):
            unwrap(body)
