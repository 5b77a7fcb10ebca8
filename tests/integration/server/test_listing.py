"""ListBatches: newest first, page by page, by filter."""

from __future__ import annotations

import itertools
from datetime import timedelta

import grpc
import pytest
from tests.integration.server.calls import Raw, item, refused
from tests.server import ServerProcess

from imagebatch.v1.batch_service_pb2 import ListBatchesRequest
from imagebatch.v1.types_pb2 import (
    BATCH_STATUS_COMPLETED,
    BATCH_STATUS_FAILED,
    BATCH_STATUS_PENDING,
    BATCH_STATUS_PROCESSING,
    BatchStatusResult,
)

BATCHES = 7


@pytest.fixture(scope="module")
def submitted(server: ServerProcess, picture: str) -> list[str]:
    """Batches in the order of their submits; every second one is red, the last one failed."""
    client = Raw(server.address)
    batch_ids = []
    for number in range(BATCHES):
        is_last = number == BATCHES - 1
        batch_ids.append(
            client.submit(
                [item(object_key="default.nothing" if is_last else picture)],
                operation="noop" if number == 0 else "scripted",
                parameters={} if number == 0 else {"word": "w"},
                labels={"set": "listing", "colour": "red" if number % 2 else "blue"},
            ).batch_id
        )
        client.watch_to_end(batch_ids[-1])
    client.close()
    return batch_ids


def pages(raw: Raw, **request: object) -> list[list[BatchStatusResult]]:
    """All pages, each asked for with the token of the one before."""
    read: list[list[BatchStatusResult]] = []
    token = ""
    while not read or token:
        answer = raw.batches.ListBatches(ListBatchesRequest(page_token=token, **request))  # type: ignore[arg-type]
        read.append(list(answer.batches))
        token = answer.next_page_token
    return read


def ids(read: list[list[BatchStatusResult]]) -> list[str]:
    return [batch.batch_id for page in read for batch in page]


@pytest.mark.parametrize("page_size", [0, 1, 3, 7, 1000])
def test_every_batch_once_newest_first(raw: Raw, submitted: list[str], page_size: int) -> None:
    read = pages(raw, page_size=page_size, labels={"set": "listing"})
    assert ids(read) == submitted[::-1]
    assert [len(page) for page in read] == [len(part) for part in batched(submitted, page_size or 50)]


def batched(values: list[str], size: int) -> list[list[str]]:
    iterator = iter(values)
    return list(iter(lambda: list(itertools.islice(iterator, size)), []))


def test_filters_combine(raw: Raw, submitted: list[str]) -> None:
    red = {"labels": {"set": "listing", "colour": "red"}}
    assert ids(pages(raw, **red)) == submitted[1::2][::-1]
    assert ids(pages(raw, **red, page_size=1)) == submitted[1::2][::-1]
    assert ids(pages(raw, labels={"set": "listing", "colour": "green"})) == []
    listing = {"labels": {"set": "listing"}}
    assert ids(pages(raw, **listing, operation="noop")) == submitted[:1]
    assert ids(pages(raw, **listing, statuses=[BATCH_STATUS_FAILED])) == submitted[-1:]
    assert ids(pages(raw, **listing, statuses=[BATCH_STATUS_COMPLETED])) == submitted[-2::-1]
    assert ids(pages(raw, **listing, statuses=[BATCH_STATUS_PENDING, BATCH_STATUS_PROCESSING])) == []


def test_times_include_the_first_and_exclude_the_last(raw: Raw, submitted: list[str]) -> None:
    created_at = [raw.status(batch_id).created_at for batch_id in submitted]
    read = pages(raw, created_after=created_at[2], created_before=created_at[5], labels={"set": "listing"})
    assert ids(read) == submitted[4:1:-1]
    later = created_at[-1].ToDatetime() + timedelta(microseconds=1)
    assert ids(pages(raw, created_after=later)) == []


def test_parameters_are_left_out_and_labels_are_not(raw: Raw, submitted: list[str]) -> None:
    (page,) = pages(raw, labels={"set": "listing"})
    assert not any(batch.HasField("parameters") for batch in page)
    assert all(batch.labels["set"] == "listing" for batch in page)
    assert raw.status(submitted[1]).parameters["word"] == "w"


@pytest.mark.parametrize("change", [{"operation": "noop"}, {"labels": {"set": "other"}}, {"page_token": "mine"}])
def test_a_token_belongs_to_its_listing(raw: Raw, submitted: list[str], change: dict[str, object]) -> None:
    first = raw.batches.ListBatches(ListBatchesRequest(page_size=2, labels={"set": "listing"}))
    request = {"page_size": 2, "page_token": first.next_page_token, "labels": {"set": "listing"}} | change
    refusal = refused(lambda: raw.batches.ListBatches(ListBatchesRequest(**request)))  # type: ignore[arg-type]
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert list(refusal.violations) == ["page_token"]


def test_another_page_size_may_follow(raw: Raw, submitted: list[str]) -> None:
    first = raw.batches.ListBatches(ListBatchesRequest(page_size=2, labels={"set": "listing"}))
    request = ListBatchesRequest(page_size=100, page_token=first.next_page_token, labels={"set": "listing"})
    assert [batch.batch_id for batch in raw.batches.ListBatches(request).batches] == submitted[-3::-1]


@pytest.mark.parametrize("page_size", [-1, 1001])
def test_a_bad_page_size_is_named(raw: Raw, page_size: int) -> None:
    refusal = refused(lambda: raw.batches.ListBatches(ListBatchesRequest(page_size=page_size)))
    assert (refusal.code, list(refusal.violations)) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_size"])
