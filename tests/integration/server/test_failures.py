"""Clusters of failures over the wire, and results by a code or a text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import grpc
import pytest
from tests.integration.server.calls import Raw, item, refused
from tests.server import ServerProcess

from imagebatch.v1.batch_service_pb2 import FailureCluster, ListFailureClustersRequest, RetryBatchRequest
from imagebatch.v1.types_pb2 import (
    BATCH_STATUS_PROCESSING,
    ITEM_ERROR_CODE_DECODE_FAILED,
    ITEM_ERROR_CODE_FETCH_FORBIDDEN,
    ITEM_ERROR_CODE_OBJECT_NOT_FOUND,
    ITEM_ERROR_CODE_UNSUPPORTED_FORMAT,
)

BROKEN_PNG = b"\x89PNG\r\n\x1a\n" + b"no chunk" * 9


@pytest.fixture(scope="module")
def batch_id(server: ServerProcess, picture: str) -> str:
    """Submit what fails in five ways, and one image that is well."""
    raw = Raw(server.address)
    broken = raw.upload(BROKEN_PNG, content_type="image/png").object_key
    no_image = raw.upload(b"%PDF-1.7 and so on", content_type="image/png").object_key
    items = [
        *[item(object_key=f"gone-{number}", item_id=f"gone-{number}") for number in range(12)],
        item(object_key=broken),
        item(object_key=broken, item_id="broken"),
        item(object_key=no_image),
        item(object_key=picture, metadata={"word": "good"}),
        item(image_url="http://10.0.0.1/a.jpg"),
        item(image_url="http://10.0.0.1/b.jpg"),
        item(image_url="http://10.0.0.2/b.jpg"),
    ]
    submitted = raw.submit(items).batch_id
    raw.watch_to_end(submitted)
    raw.close()
    return submitted


def listed(raw: Raw, batch_id: str, page_size: int = 0) -> Sequence[FailureCluster]:
    found: list[FailureCluster] = []
    request = ListFailureClustersRequest(batch_id=batch_id, page_size=page_size)
    while True:
        page = raw.batches.ListFailureClusters(request)
        found += page.clusters
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def test_failures_are_told_by_what_they_have_in_common(raw: Raw, batch_id: str) -> None:
    clusters = listed(raw, batch_id)
    told = {(one.error_code, one.host, one.format): one for one in clusters}
    assert [one.count for one in clusters] == [12, 2, 2, 1, 1]
    gone = told[ITEM_ERROR_CODE_OBJECT_NOT_FOUND, "", ""]
    assert list(gone.item_ids) == [f"gone-{number}" for number in range(10)]
    assert gone.message
    assert "gone" not in gone.message
    broken = told[ITEM_ERROR_CODE_DECODE_FAILED, "", "png"]
    assert list(broken.item_ids) == [f"{batch_id}-12", "broken"]
    assert told[ITEM_ERROR_CODE_UNSUPPORTED_FORMAT, "", ""].count == 1
    assert told[ITEM_ERROR_CODE_FETCH_FORBIDDEN, "10.0.0.1", ""].count == 2
    assert told[ITEM_ERROR_CODE_FETCH_FORBIDDEN, "10.0.0.2", ""].count == 1
    status = raw.status(batch_id)
    assert sum(one.count for one in clusters) == status.failed_items
    assert all(status.created_at.ToDatetime() < one.first_at.ToDatetime() for one in clusters)
    assert all(one.first_at.ToDatetime() <= one.last_at.ToDatetime() for one in clusters)


def test_pages_hold_each_cluster_once(raw: Raw, batch_id: str) -> None:
    assert listed(raw, batch_id, 2) == listed(raw, batch_id)


def test_a_token_is_of_its_own_batch(raw: Raw, batch_id: str) -> None:
    other = raw.submit([item(object_key="gone")]).batch_id
    token = raw.batches.ListFailureClusters(ListFailureClustersRequest(batch_id=batch_id, page_size=1)).next_page_token
    for tokens in (token, token[:-8], "mine"):
        request = ListFailureClustersRequest(batch_id=other, page_token=tokens)
        refusal = refused(partial(raw.batches.ListFailureClusters, request))
        assert (refusal.code, list(refusal.violations)) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])


def test_results_are_found_by_code_and_text(raw: Raw, batch_id: str) -> None:
    def found(**request: object) -> list[int]:
        page = raw.page(batch_id, **request)
        assert page.pagination.total == len(page.results)
        return [result.item_index for result in page.results]

    assert found(error_codes=[ITEM_ERROR_CODE_DECODE_FAILED, ITEM_ERROR_CODE_UNSUPPORTED_FORMAT]) == [12, 13, 14]
    assert found(text="GOOD") == [15]
    assert found(text="10.0.0.1", error_codes=[ITEM_ERROR_CODE_FETCH_FORBIDDEN]) == [16, 17]
    assert found(text="nowhere") == []


def test_a_retry_of_a_cluster_runs_its_items_alone(raw: Raw) -> None:
    items = [item(object_key="gone"), item(object_key="gone"), item(image_url="http://10.0.0.1/a.jpg")]
    batch_id = raw.submit(items).batch_id
    last = raw.watch_to_end(batch_id).sequence
    gone = listed(raw, batch_id)[0]
    retry = RetryBatchRequest(batch_id=batch_id, cluster_id=gone.cluster_id, request_id="r")
    assert raw.batches.RetryBatch(retry).status == BATCH_STATUS_PROCESSING
    again = raw.watch_to_end(batch_id, last)
    assert sorted(result.item_index for result in again.results) == [0, 1]
    raw.batches.RetryBatch(retry)
    assert raw.watch_to_end(batch_id, again.sequence).results == [], "a repeat of its request_id reopens nothing"
    other = RetryBatchRequest(batch_id=batch_id, request_id="r")
    assert refused(lambda: raw.batches.RetryBatch(other)).reason == "REQUEST_ID_REUSED"
    after = listed(raw, batch_id)[0]
    assert (after.cluster_id, after.count) == (gone.cluster_id, 2)
    assert after.first_at.ToDatetime() > gone.last_at.ToDatetime()
