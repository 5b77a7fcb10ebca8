"""More text than one message may hold: it reaches a client with gRPC's default limit of 4 MiB."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.integration.server.calls import Raw, item, plain
from tests.server import ServerProcess

from imagebatch.v1.types_pb2 import BatchItemResult
from imagebatch_client import BatchClient

ITEMS = 1_000
CHARACTERS = 5 * 1024
MAX_RESPONSE_BYTES = 3 * 1024 * 1024


@pytest.fixture(scope="module")
def batch_id(server: ServerProcess, picture: str) -> str:
    client = Raw(server.address)
    items = [item(object_key=picture, metadata={"characters": CHARACTERS}) for _ in range(ITEMS)]
    batch_id = client.submit(items, operation="verbose").batch_id
    watched = client.watch_to_end(batch_id)  # while they are made
    assert_whole(watched.results)
    assert max(watched.sizes) <= MAX_RESPONSE_BYTES
    client.close()
    return batch_id


def assert_whole(results: Sequence[BatchItemResult]) -> None:
    assert sorted(result.item_index for result in results) == list(range(ITEMS))
    assert all(len(plain(result.output_data)["word"]) == CHARACTERS for result in results)


def test_by_watch(raw: Raw, batch_id: str) -> None:
    watched = raw.watch_to_end(batch_id)
    assert_whole(watched.results)
    assert [result.sequence for result in watched.results] == list(range(1, ITEMS + 1))
    assert len(watched.sizes) > 1
    assert max(watched.sizes) <= MAX_RESPONSE_BYTES


def test_by_page(raw: Raw, batch_id: str) -> None:
    pages = raw.pages(batch_id, limit=1000)
    results = [result for page in pages for result in page.results]
    assert [result.item_index for result in results] == list(range(ITEMS))
    assert_whole(results)
    assert len(pages[0].results) < ITEMS, "a page is shortened where it would be too large"
    assert all(page.ByteSize() <= MAX_RESPONSE_BYTES for page in pages)
    assert [page.pagination.has_more for page in pages] == [True] * (len(pages) - 1) + [False]


def test_by_our_client(server: ServerProcess, batch_id: str) -> None:
    with BatchClient(server.address) as client:
        by_page = [result.output_data for result in client.get_all_results(batch_id, page_size=1000)]
        by_watch = [result.output_data for result in client.watch(batch_id)]
    for outputs in (by_page, by_watch):
        assert [len(output["word"]) for output in outputs if output is not None] == [CHARACTERS] * ITEMS
