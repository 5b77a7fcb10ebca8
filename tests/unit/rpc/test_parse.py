"""Requests as the core's values."""

from __future__ import annotations

import pytest

from imagebatch.v1 import batch_service_pb2 as batches
from imagebatch_server.batches.errors import InvalidRequest
from imagebatch_server.rpc import parse


def test_defaults_are_the_contract_s() -> None:
    options = parse.options(batches.BatchOptions(operation="describe"))
    assert (options.priority, options.item_timeout_s, options.max_attempts) == (5, 60.0, 3)
    assert options.request_id is None
    assert options.parameters is None


def test_absent_options_are_none_and_given_ones_are_kept() -> None:
    absent = parse.options(batches.BatchOptions(operation="describe"))
    assert (absent.skip_duplicates, absent.canary, absent.failure_limit) == (False, None, None)
    given = parse.options(batches.BatchOptions(operation="describe", skip_duplicates=True, canary=5, failure_limit=0.5))
    assert (given.skip_duplicates, given.canary, given.failure_limit) == (True, 5, 0.5)


def test_a_page_token_continues_its_own_listing_only() -> None:
    request = batches.ListBatchesRequest(operation="describe", labels={"a": "b"}, page_size=3)
    token = parse.page_token(request, "0195")
    assert (
        parse.after_batch_id(
            batches.ListBatchesRequest(operation="describe", labels={"a": "b"}, page_size=50, page_token=token)
        )
        == "0195"
    )
    for other in (
        batches.ListBatchesRequest(operation="verify", labels={"a": "b"}, page_token=token),
        batches.ListBatchesRequest(operation="describe", labels={"a": "b"}, page_token=token[:-6]),
        batches.ListBatchesRequest(operation="describe", labels={"a": "b"}, page_token="é"),
        batches.ListBatchesRequest(operation="describe", labels={"a": "b"}, page_token=parse.page_token(request, "\0")),
    ):
        with pytest.raises(InvalidRequest, match="page_token"):
            parse.after_batch_id(other)


def test_content_hashes_tell_requests_apart() -> None:
    one = batches.SubmitBatchRequest(options=batches.BatchOptions(operation="a", labels={"x": "1", "y": "2"}))
    same = batches.SubmitBatchRequest(options=batches.BatchOptions(operation="a", labels={"y": "2", "x": "1"}))
    other = batches.SubmitBatchRequest(options=batches.BatchOptions(operation="b"))
    assert parse.content_sha256(one) == parse.content_sha256(same) != parse.content_sha256(other)


@pytest.mark.parametrize(("seconds", "nanos"), [(-(2**63), 0), (2**63 - 1, 0), (0, -1), (0, 2**31 - 1)])
def test_a_time_that_no_calendar_has_is_refused_by_name(seconds: int, nanos: int) -> None:
    request = batches.ListBatchesRequest()
    request.created_before.seconds, request.created_before.nanos = seconds, nanos
    with pytest.raises(InvalidRequest, match=r"created_before: .*years 1 to 9999"):
        parse.batch_filter(request)
