"""Items that crash, hang or exhaust a worker, through a whole server: each pays alone, and the pool heals."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.faults.conftest import Tell
from tests.faults.operations import OPERATIONS
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.types_pb2 import (
    BATCH_STATUS_COMPLETED,
    BATCH_STATUS_PARTIALLY_COMPLETED,
    ITEM_ERROR_CODE_TIMEOUT,
    ITEM_ERROR_CODE_WORKER_CRASHED,
)

WORKERS = 2
MEMORY_BYTES = 512 * 1024 * 1024
ATTEMPTS = 2
TIMEOUT_S = 2
"""Of items that hang; filling a worker's memory may take longer on a busy machine."""
NEIGHBOURS = 12
"""Good items after each that is poison."""

CRASHES = ["crash", "abort", "kill", "exit", "exhaust", "exhaust-in-c"]
HANGS = ["hang", "backtrack"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    settings = {"workers": str(WORKERS), "worker_memory_bytes": str(MEMORY_BYTES)}
    with running_server(tmp_path / "data", settings, operations=OPERATIONS) as running:
        yield running


def test_each_poison_pays_alone_and_the_pool_heals(server: ServerProcess, tell: Tell) -> None:
    raw = Raw(server.address)
    picture = raw.upload(pictures.drawn()).object_key
    others = [item(object_key=picture) for _ in range(300)]
    raw.watch_to_end(raw.submit(others[:5]).batch_id)  # so that the server knows how short an item is, and makes chunks

    began = time.monotonic()
    beside = raw.submit(others, max_attempts=1).batch_id
    crashing = Poisoned(raw, picture, CRASHES, timeout_s=60)
    hanging = Poisoned(raw, picture, HANGS, timeout_s=TIMEOUT_S)
    crashing.judge(ITEM_ERROR_CODE_WORKER_CRASHED, tell)
    hanging.judge(ITEM_ERROR_CODE_TIMEOUT, tell)
    neighbour = raw.watch_to_end(beside)
    took_s = time.monotonic() - began
    assert neighbour.statuses[-1].status == BATCH_STATUS_COMPLETED, "another batch was not touched"
    assert {result.attempts for result in neighbour.results} == {1}

    eventually(lambda: workers(raw).alive == WORKERS)
    poison = len(CRASHES) + len(HANGS)
    assert workers(raw).restarted == poison * ATTEMPTS
    tell(
        f"{poison} poison items of {ATTEMPTS} attempts among {poison * NEIGHBOURS} neighbours and {len(others)} items "
        f"of another batch: {workers(raw).restarted} workers replaced, all others succeeded at once, {took_s:.1f} s"
    )
    assert_nothing_works_on(server)
    again = raw.watch_to_end(raw.submit(others, max_attempts=1).batch_id)
    assert again.statuses[-1].successful_items == len(others)
    raw.close()


class Poisoned:
    """A batch in which each of `deeds` stands before good neighbours."""

    def __init__(self, raw: Raw, picture: str, deeds: Sequence[str], timeout_s: int) -> None:
        self._raw = raw
        self._deeds = [one for deed in deeds for one in (deed, *[""] * NEIGHBOURS)]
        items = [item(object_key=picture, metadata={"do": deed} if deed else {}) for deed in self._deeds]
        timeout = Duration(seconds=timeout_s)
        self._batch_id = raw.submit(items, max_attempts=ATTEMPTS, item_timeout=timeout).batch_id

    def judge(self, code: int, tell: Tell) -> None:
        """Wait for the end: poison must have failed with `code` after all its attempts, its neighbours at once."""
        watched = self._raw.watch_to_end(self._batch_id)
        results = {result.item_index: result for result in watched.results}
        assert sorted(results) == list(range(len(self._deeds)))
        for index, deed in enumerate(self._deeds):
            expected = (code, ATTEMPTS) if deed else (0, 1)
            assert (results[index].error_code, results[index].attempts) == expected, (index, deed, results[index])
            if deed:
                tell(f"{deed}: {results[index].error_message.partition(';')[0]}")
        assert watched.statuses[-1].status == BATCH_STATUS_PARTIALLY_COMPLETED


def workers(raw: Raw) -> batch_service_pb2.WorkerInfo:
    return raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest()).workers


def assert_nothing_works_on(server: ServerProcess) -> None:
    """Check that a timeout stops the work, native code included: the workers have nothing to do."""
    children = [
        one for one in psutil.Process(server.process.pid).children(recursive=True) if "fetching" not in one.cmdline()
    ]
    assert len(children) == WORKERS
    before = [child.cpu_times().user for child in children]
    time.sleep(0.5)
    for child, used in zip(children, before, strict=True):
        assert child.cpu_times().user - used < 0.2


def test_a_flood_of_poison_delays_but_never_stops_the_others(server: ServerProcess, tell: Tell) -> None:
    """Every second item of one batch kills its worker; a batch without poison still ends, and so does that one."""
    raw = Raw(server.address)
    picture = raw.upload(pictures.drawn()).object_key
    flood = [item(object_key=picture, metadata={"do": "kill"} if index % 2 else {}) for index in range(40)]
    poisoned = raw.submit(flood, max_attempts=1).batch_id
    good = raw.submit([item(object_key=picture) for _ in range(100)], max_attempts=1).batch_id
    assert raw.watch_to_end(good).statuses[-1].successful_items == 100
    status = raw.watch_to_end(poisoned).statuses[-1]
    assert (status.successful_items, dict(status.failure_counts)) == (20, {"worker_crashed": 20})
    assert workers(raw).restarted == 20
    tell("20 of 40 items kill their worker, 100 items of another batch beside them: all 120 good ones succeed")
    raw.close()
