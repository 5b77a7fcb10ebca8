"""What a large batch must not do to others, and a batch's many watchers not to each other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.integration.server.calls import Raw, eventually, is_terminal, item
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2 as pb
from imagebatch.v1.batch_service_pb2_grpc import BatchServiceStub
from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED, BatchSubmissionResult

LARGE = 20_000
PART = 1_000
WATCHERS = 1_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run a server that tidies all the time, so that what is deleted is removed while the tests look."""
    folder = tmp_path_factory.mktemp("server") / "data"
    with running_server(folder, {"tidy_every_s": "0.1"}, OPERATIONS) as running:
        yield running


def test_a_small_batch_ends_while_a_large_one_runs(raw: Raw, picture: str) -> None:
    large = submit_large(raw, picture)
    eventually(lambda: raw.status(large).processed_items)
    before = raw.status(large).processed_items
    small = raw.submit([item(object_key=picture)] * 10, "noop").batch_id
    raw.watch_to_end(small)
    during = raw.status(large)
    assert raw.status(small).status == BATCH_STATUS_COMPLETED
    assert not is_terminal(during)
    assert during.processed_items - before < LARGE / 4, "its ten items took turns with the large batch's"
    raw.batches.CancelBatch(pb.CancelBatchRequest(batch_id=large))


def test_urgent_items_are_not_behind_those_of_a_large_batch(raw: Raw, picture: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waiting = [item(object_key=picture, metadata={"do": "wait", "until": str(gate)})]
    raw.submit(waiting)  # the one worker is busy, so that all that follows has to queue
    large = submit_large(raw, picture)
    urgent = raw.submit([item(object_key=picture)] * 10, "noop", priority=10).batch_id
    gate.touch()
    raw.watch_to_end(urgent)
    assert not is_terminal(raw.status(large))
    raw.batches.CancelBatch(pb.CancelBatchRequest(batch_id=large))


def test_deleting_a_large_batch_holds_up_nobody(server: ServerProcess, raw: Raw, picture: str) -> None:
    large = submit_large(raw, picture)
    raw.batches.CancelBatch(pb.CancelBatchRequest(batch_id=large))
    raw.watch_to_end(large)
    raw.batches.DeleteBatch(pb.DeleteBatchRequest(batch_id=large), timeout=5)
    ended = [raw.watch_to_end(raw.submit([item(object_key=picture)] * 10, "noop").batch_id) for _ in range(20)]
    assert [len(watched.results) for watched in ended] == [10] * 20


async def test_a_thousand_watchers_of_one_batch_see_all_of_it(server: ServerProcess, picture: str) -> None:
    items = 200
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = BatchServiceStub(channel)
        given = [item(object_key=picture, metadata={"do": "sleep", "seconds": 0.01})] * items
        options = pb.BatchOptions(operation="scripted")
        batch_id = (await stub.SubmitBatch(pb.SubmitBatchRequest(options=options, items=given))).batch_id

        async def watch() -> list[int]:
            call = stub.WatchBatch(pb.WatchBatchRequest(batch_id=batch_id), timeout=120)
            return [result.sequence async for message in call for result in message.results]

        seen = await asyncio.gather(*(watch() for _ in range(WATCHERS)))
    assert all(sequences == list(range(1, items + 1)) for sequences in seen)


def submit_large(raw: Raw, picture: str) -> str:
    def requests() -> Iterator[pb.SubmitBatchStreamRequest]:
        yield pb.SubmitBatchStreamRequest(options=pb.BatchOptions(operation="noop"))
        part = pb.BatchImageInputs(items=[item(object_key=picture)] * PART)
        for _ in range(0, LARGE, PART):
            yield pb.SubmitBatchStreamRequest(items=part)

    answer: BatchSubmissionResult = raw.batches.SubmitBatchStream(requests(), timeout=60)
    return answer.batch_id
