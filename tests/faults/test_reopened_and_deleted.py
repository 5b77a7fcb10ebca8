"""Cancelling, retrying, deleting and expiring, each while something else happens to the batch."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from tests.faults.conftest import Tell
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, is_terminal, item, refusal, refused
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2, types_pb2

ROUNDS = 25
TERMINAL_S = 30.0


@pytest.fixture
def server(store: Store) -> Iterator[ServerProcess]:
    with running_server(store.data_dir, {"workers": "2", **store.settings}, operations=OPERATIONS) as running:
        yield running


def ended(raw: Raw, batch_id: str) -> types_pb2.BatchStatusResult:
    eventually(lambda: is_terminal(raw.status(batch_id)))
    return raw.status(batch_id)


def retry(raw: Raw, batch_id: str) -> types_pb2.BatchStatusResult:
    return raw.batches.RetryBatch(batch_service_pb2.RetryBatchRequest(batch_id=batch_id), timeout=TERMINAL_S)


def cancel(raw: Raw, batch_id: str) -> types_pb2.BatchStatusResult:
    return raw.batches.CancelBatch(batch_service_pb2.CancelBatchRequest(batch_id=batch_id), timeout=TERMINAL_S)


def delete(raw: Raw, batch_id: str) -> batch_service_pb2.DeleteBatchResponse:
    return raw.batches.DeleteBatch(batch_service_pb2.DeleteBatchRequest(batch_id=batch_id), timeout=TERMINAL_S)


def test_retries_and_cancellations_at_the_same_time(
    raw: Raw, store: Store, seed: int, scale: float, tell: Tell
) -> None:
    chance = random.Random(seed)
    picture = raw.upload(pictures.drawn()).object_key
    ends: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    batch_ids = []
    for _ in range(int(ROUNDS * scale)):
        deeds = chance.choices(
            [{}, {"do": "fail", "code": "decode_failed", "message": "no"}, {"do": "sleep", "seconds": 0.02}], k=20
        )
        submitted = raw.submit([item(object_key=picture, metadata=deed) for deed in deeds], operation="troubled")
        batch_ids.append(submitted.batch_id)
        begin = threading.Barrier(4)

        def act(name: str, batch_id: str = submitted.batch_id, begin: threading.Barrier = begin) -> None:
            begin.wait()
            time.sleep(chance.random() * 0.15)  # at any moment of the batch's life; nothing is waited for
            try:
                {"retry": retry, "cancel": cancel}[name](raw, batch_id)
                answers[f"{name} answered"] += 1
            except grpc.RpcError as error:
                answers[f"{name} refused {refusal(error).reason}"] += 1

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(act, ["retry", "retry", "retry", "cancel"]))
        ends[types_pb2.BatchStatus.Name(ended(raw, submitted.batch_id).status)] += 1
    raw.close()
    assert set(answers) <= {"retry answered", "cancel answered", "retry refused BATCH_NOT_RETRYABLE"}
    for findings, rows in store.read(batch_ids).values():
        assert not findings
        assert len(rows) == 20
        assert len({row.sequence for row in rows}) == 20
    tell(f"{len(batch_ids)} batches, each retried three times and cancelled at once: {dict(ends)}; {dict(answers)}")


def test_a_batch_is_deleted_while_a_watcher_reads(raw: Raw, store: Store, tell: Tell) -> None:
    picture = raw.upload(pictures.drawn()).object_key
    items = [item(object_key=picture, metadata={"characters": 20_000}) for _ in range(2_000)]
    submitted = raw.submit(items, operation="verbose", request_id="again")
    assert refused(lambda: delete(raw, submitted.batch_id)).reason == "BATCH_NOT_TERMINAL"
    ended(raw, submitted.batch_id)
    watch = raw.watch(submitted.batch_id)
    seen = len(next(watch).results)
    delete(raw, submitted.batch_id)
    with pytest.raises(grpc.RpcError) as caught:
        seen += sum(len(message.results) for message in watch)
    assert refusal(caught.value).reason == "BATCH_NOT_FOUND"
    assert refused(lambda: raw.status(submitted.batch_id)).reason == "BATCH_NOT_FOUND"
    assert refused(lambda: delete(raw, submitted.batch_id)).reason == "BATCH_NOT_FOUND"
    again = raw.submit(items[:1], operation="verbose", request_id="again")
    assert again.batch_id != submitted.batch_id
    eventually(lambda: not store.rows_left([submitted.batch_id]))
    tell(f"a watch of 2000 outcomes of 20 kB ended NOT_FOUND after {seen}; the request_id is free, the rows are gone")


def test_items_that_wait_for_an_attempt_are_skipped_at_once(raw: Raw, tell: Tell) -> None:
    picture = raw.upload(pictures.drawn()).object_key
    busy = {"do": "fail", "code": "fetch_failed", "message": "busy", "transient": True}
    submitted = raw.submit(
        [item(object_key=picture, metadata=busy) for _ in range(200)], operation="troubled", max_attempts=10
    )
    eventually(lambda: raw.status(submitted.batch_id).status == types_pb2.BATCH_STATUS_PROCESSING)
    began = time.monotonic()
    first, second = cancel(raw, submitted.batch_id), cancel(raw, submitted.batch_id)
    assert first.cancel_requested_at == second.cancel_requested_at
    status = ended(raw, submitted.batch_id)
    assert status.status == types_pb2.BATCH_STATUS_CANCELLED
    assert status.skipped_items + status.failed_items == 200
    assert status.skipped_items > 150
    tell(f"cancelled with 200 items between attempts: {status.skipped_items} skipped, ended in "
         f"{time.monotonic() - began:.1f} s")  # fmt: skip


def test_duplicates_run_once(raw: Raw, tell: Tell) -> None:
    one, same, other = (raw.upload(pictures.drawn(seed)).object_key for seed in (1, 1, 2))
    inline = pictures.data_url(pictures.drawn(1))
    submitted = raw.submit(
        [
            item(object_key=one, metadata={"a": 1, "b": 2}),
            item(object_key=same, metadata={"b": 2, "a": 1}),
            item(image_base64=inline, metadata={"a": 1, "b": 2}),
            item(object_key=one, metadata={"a": 1}),
            item(object_key=other, metadata={"a": 1, "b": 2}),
            item(object_key="default." + "0" * 32),
            item(object_key="default." + "0" * 32),
        ],
        operation="noop",
        skip_duplicates=True,
    )
    ended(raw, submitted.batch_id)
    results = raw.page(submitted.batch_id).results
    duplicates = {result.item_index: result.duplicate_of_index for result in results if result.status == 5}
    assert duplicates == {1: 0, 2: 0}
    assert [results[index].error_code for index in (5, 6)] == [types_pb2.ITEM_ERROR_CODE_OBJECT_NOT_FOUND] * 2
    tell("by object and by base64, metadata in any order: run once; other metadata, other images, no image: each run")


def test_batches_expire_and_leave_nothing(store: Store, tell: Tell) -> None:
    settings = {**store.settings, "workers": "1", "retention_s": "0.5", "tidy_every_s": "0.2"}
    with running_server(store.data_dir, settings, operations=OPERATIONS) as running:
        raw = Raw(running.address)
        picture = raw.upload(pictures.drawn()).object_key
        batch_ids = [
            raw.submit([item(object_key=picture) for _ in range(300)], operation="noop").batch_id for _ in range(5)
        ]
        listing = batch_service_pb2.ListBatchesRequest()
        eventually(lambda: not raw.batches.ListBatches(listing, timeout=TERMINAL_S).batches)
        eventually(lambda: not store.rows_left(batch_ids))
        assert refused(lambda: raw.status(batch_ids[0])).reason == "BATCH_NOT_FOUND"
        assert raw.download(picture)[1] == pictures.drawn()  # it was uploaded less than a day ago
        raw.close()
    tell("5 batches of 300 items expired after 0.5 s: hidden, and their rows removed; the young image stayed")
