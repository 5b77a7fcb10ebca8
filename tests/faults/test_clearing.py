"""Clearing away, raced against those who still need it: unreferenced objects, expired batches."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from tests.faults.conftest import Tell
from tests.faults.logs import tracebacks
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item, refusal, refused
from tests.server import ServerProcess, running_server

from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED, ITEM_ERROR_CODE_OBJECT_NOT_FOUND

ROUNDS = 25
OBJECTS = 12
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
RETENTION_S = 3


@pytest.fixture
def server(store: Store) -> Iterator[ServerProcess]:
    settings = {**store.settings, "tidy_every_s": "0.05"}
    with running_server(store.data_dir, settings, operations=OPERATIONS) as running:
        yield running


@pytest.mark.timeout(600)
def test_the_sweeper_takes_nothing_that_a_submit_names(
    store: Store, server: ServerProcess, raw: Raw, tmp_path: Path, seed: int, scale: float, tell: Tell
) -> None:
    """Old objects are about to be swept when a batch names them: each stays and is processed, or was gone before.

    One that was swept may be processed all the same: its row goes first, and its bytes may be read before they go.
    """
    chance = random.Random(seed)
    ends: Counter[str] = Counter()
    kept: list[str] = []
    rounds = round(ROUNDS * scale)
    for number in range(rounds):
        keys = [raw.upload(pictures.drawn(index)).object_key for index in range(OBJECTS)]
        gate = tmp_path / f"gate-{number}"
        waits = {"do": "wait", "until": str(gate)}
        items = [item(object_key=key, metadata=waits) for key in keys]
        with ThreadPoolExecutor() as threads:
            aged = threads.submit(store.age_objects, keys, LONG_AGO)
            threading.Event().wait(chance.uniform(0, 0.25))
            batch_id = raw.submit(items).batch_id
            aged.result()
        is_there = {key: answered(raw, key) for key in keys}
        gate.touch()
        watched = raw.watch_to_end(batch_id)
        for result in watched.results:
            key = keys[result.item_index]
            assert result.error_code in ({0} if is_there[key] else {0, ITEM_ERROR_CODE_OBJECT_NOT_FOUND}), result
            ends["stayed" if is_there[key] else "swept before"] += 1
        kept += [key for key in keys if is_there[key]]
    assert all(answered(raw, key) for key in kept), "what a batch names stays"
    blobs = {path.name for path in (store.data_dir / "objects").rglob("default.*")}
    assert blobs == set(kept), "what was swept left no file"
    tell(f"{rounds} batches named {ends.total()} objects that the sweeper was about to take: {dict(ends)}")
    assert set(ends) == {"stayed", "swept before"}, "it was a race"
    assert tracebacks(server) == []


def answered(raw: Raw, key: str) -> bool:
    """Whether the object is there, with its bytes."""
    try:
        _, data = raw.download(key)
    except grpc.RpcError as error:
        if refusal(error).reason != "OBJECT_NOT_FOUND":
            raise
        return False
    return len(data) > 0


@pytest.mark.timeout(300)
def test_ended_batches_expire_and_running_ones_do_not(store: Store, tmp_path: Path, tell: Tell) -> None:
    settings = {**store.settings, "tidy_every_s": "0.1", "retention_s": str(RETENTION_S)}
    with running_server(store.data_dir, settings, operations=OPERATIONS) as server:
        raw = Raw(server.address)
        picture = raw.upload(pictures.drawn()).object_key
        gate = tmp_path / "gate"
        waits = item(object_key=picture, metadata={"do": "wait", "until": str(gate)})
        ended = [raw.submit([item(object_key=picture)] * 50, request_id=f"r{number}").batch_id for number in range(10)]
        for batch_id in ended:
            assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
        running = raw.submit([waits]).batch_id
        eventually(lambda: all(is_gone(raw, batch_id) for batch_id in ended))
        assert refused(lambda: raw.watch_to_end(ended[0])).reason == "BATCH_NOT_FOUND"
        assert not is_gone(raw, running)
        again = raw.submit([item(object_key=picture)] * 2, request_id="r0").batch_id
        assert again not in ended, "an expired batch's request_id is free"
        gate.touch()
        assert raw.watch_to_end(running).statuses[-1].status == BATCH_STATUS_COMPLETED
        eventually(lambda: is_gone(raw, running) and is_gone(raw, again))
        assert store.leftovers() == []
        assert tracebacks(server) == []
        raw.close()
    tell(f"{len(ended) + 2} batches expired {RETENTION_S} s after their end, no row left; a running one did not")


def is_gone(raw: Raw, batch_id: str) -> bool:
    try:
        raw.status(batch_id)
    except grpc.RpcError as error:
        if refusal(error).reason != "BATCH_NOT_FOUND":
            raise
        return True
    return False
