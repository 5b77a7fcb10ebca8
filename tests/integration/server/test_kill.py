"""kill -9 of the server, five times in the middle of a batch: watchers that were never restarted see each item once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import cast

import grpc
import pytest
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, is_terminal, item
from tests.operations import open_gate
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2, batch_service_pb2_grpc, types_pb2
from imagebatch_client import AsyncBatchClient, BatchClient, ConnectionSettings

ITEMS = 300
KILLS_AFTER = (40, 90, 140, 190, 240)
AHEAD = 50
"""Items that the workers may have done beyond what the slowest watcher has seen."""
ITEM_S = 0.005
PATIENCE_S = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with running_server(tmp_path / "data", operations={"paced": "tests.operations:Paced"}) as running:
        yield running


class Progress:
    """How many outcomes a watcher has seen, for those who wait for more."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, int]] = []
        self._changed = threading.Condition()

    def add(self, sequence: int | None, item_index: int) -> None:
        assert sequence is not None
        with self._changed:
            self._seen.append((sequence, item_index))
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._seen) >= count, timeout=PATIENCE_S), (
                f"{len(self._seen)} of {count}"
            )

    @property
    def sequences(self) -> list[int]:
        return [sequence for sequence, _ in self._seen]

    @property
    def indexes(self) -> list[int]:
        return sorted(item_index for _, item_index in self._seen)


def watch_by_client(address: str, batch_id: str, progress: Progress) -> None:
    with BatchClient(ConnectionSettings(address, timeout_s=PATIENCE_S, reconnect_for_s=PATIENCE_S)) as client:
        for result in client.watch(batch_id):
            progress.add(result.sequence, result.item_index)


def watch_by_aio_client(address: str, batch_id: str, progress: Progress) -> None:
    async def watch() -> None:
        async with AsyncBatchClient(
            ConnectionSettings(address, timeout_s=PATIENCE_S, reconnect_for_s=PATIENCE_S)
        ) as client:
            async for result in client.watch(batch_id):
                progress.add(result.sequence, result.item_index)

    asyncio.run(watch())


def watch_by_stub(address: str, batch_id: str, progress: Progress) -> None:
    """Do what the contract tells a stranger to: watch again from the last sequence until a terminal status."""
    with grpc.insecure_channel(address, [("grpc.max_reconnect_backoff_ms", 500)]) as channel:
        stub = batch_service_pb2_grpc.BatchServiceStub(channel)
        position = 0
        while True:
            request = batch_service_pb2.WatchBatchRequest(batch_id=batch_id, after_sequence=position)
            try:
                for message in stub.WatchBatch(request, wait_for_ready=True, timeout=PATIENCE_S):
                    for result in message.results:
                        progress.add(result.sequence, result.item_index)
                    position = message.sequence
                    if message.HasField("status") and is_terminal(message.status):
                        return
            except grpc.RpcError as error:
                if cast("grpc.Call", error).code() is not grpc.StatusCode.UNAVAILABLE:
                    raise


WATCHERS: dict[str, Callable[[str, str, Progress], None]] = {
    "client": watch_by_client,
    "aio client": watch_by_aio_client,
    "stub": watch_by_stub,
}


def test_every_watcher_sees_every_item_once(server: ServerProcess, tmp_path: Path) -> None:
    raw = Raw(server.address)
    gate = tmp_path / "gate"
    open_gate(gate, KILLS_AFTER[0] + AHEAD)
    items = [item(image_base64=pictures.data_url(pictures.drawn(seed))) for seed in range(ITEMS)]
    batch_id = raw.submit(items, "paced", parameters={"seconds": ITEM_S, "gate": str(gate)}).batch_id
    seen = {name: Progress() for name in WATCHERS}
    with ThreadPoolExecutor() as threads:
        watches = [threads.submit(watch, server.address, batch_id, seen[name]) for name, watch in WATCHERS.items()]
        for count, next_count in pairwise([*KILLS_AFTER, ITEMS]):
            seen["stub"].wait_for(count)
            server.kill()
            open_gate(gate, min(next_count + AHEAD, ITEMS))
            server.start()
        for watch in watches:
            watch.result(timeout=PATIENCE_S)

    assert server.log.count('"ownership.batch_taken_over"') == len(KILLS_AFTER), (
        "each kill came in the middle of the batch"
    )
    raw.close()
    raw = Raw(server.address)
    for progress in seen.values():
        assert progress.indexes == list(range(ITEMS))
        assert progress.sequences == list(range(1, ITEMS + 1))
    status = raw.status(batch_id)
    assert status.status == types_pb2.BATCH_STATUS_COMPLETED
    assert (status.total_items, status.processed_items, status.successful_items) == (ITEMS, ITEMS, ITEMS)
    pages = raw.pages(batch_id)
    results = [result for page in pages for result in page.results]
    assert [result.item_index for result in results] == list(range(ITEMS))
    assert sorted(result.sequence for result in results) == list(range(1, ITEMS + 1))
    assert {result.status for result in results} == {types_pb2.BATCH_ITEM_STATUS_SUCCESS}
    assert pages[0].summary.successful_items == ITEMS
    assert pages[0].summary.processing_time_ms == sum(result.processing_time_ms for result in results)
    raw.close()
