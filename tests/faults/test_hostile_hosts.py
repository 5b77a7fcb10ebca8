"""64 streams of each hostile sort at once: calls stay quick, memory bounded, and everybody else's images come."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.faults.conftest import Tell
from tests.faults.hostile_hosts import MIB, SORTS, hosting
from tests.faults.operations import OPERATIONS
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.integration.server.web import Web, serving
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.types_pb2 import BATCH_STATUS_CANCELLED, BATCH_STATUS_COMPLETED

STREAMS = 64
DOWNLOAD_BYTES = 128 * MIB
FETCHING_BYTES = DOWNLOAD_BYTES + (STREAMS + 8) * MIB // 2 + 50 * MIB + 150 * MIB
"""What the fetching process may hold: downloads and an opening for each, one image more, itself."""

SERVER_GROWTH_BYTES = 150 * MIB
CALLS = 200
QUICK_S = 0.010
OTHERS = 20
UNDER_WAY_S = 1.5
"""How long the streams are let loose before anything is measured."""


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    settings = {"fetch_memory_bytes": str(DOWNLOAD_BYTES), **getattr(request, "param", {})}
    with running_server(tmp_path / "data", settings, OPERATIONS) as running:
        yield running


@pytest.fixture
def raw(server: ServerProcess) -> Iterator[Raw]:
    client = Raw(server.address)
    yield client
    client.close()


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as host:
        yield host


def p99_s(raw: Raw) -> float:
    """Of unary calls, one after the other."""
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest(), timeout=30)
        took.append(time.perf_counter() - began)
    return statistics.quantiles(took, n=100)[-1]


def others_s(raw: Raw, web: Web, picture: str) -> float:
    """How long others' uploads and URLs take, a batch of both."""
    began = time.perf_counter()
    items = [item(object_key=picture) for _ in range(OTHERS)] + [
        item(image_url=f"{web.url}/picture?{number}") for number in range(OTHERS)
    ]
    batch_id = raw.submit(items, max_attempts=1).batch_id
    assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
    return time.perf_counter() - began


def least(measure: Callable[[], float], enough_s: float) -> float:
    """Measure until it is enough, at most ten times: what else the machine does only adds to it."""
    found_s = measure()
    for _ in range(9):
        if found_s < enough_s:
            break
        found_s = min(found_s, measure())
    return found_s


@contextmanager
def attack(raw: Raw, hosts: list[str], rounds: int = 1) -> Iterator[list[str]]:
    """Have streams fetched while the block runs; answers the batches."""
    urls = [f"{hosts[number % len(hosts)]}/{number}" for number in range(STREAMS * rounds)]
    timeout = Duration(seconds=60)
    batch_id = raw.submit([item(image_url=url) for url in urls], max_attempts=1, item_timeout=timeout).batch_id
    try:
        yield [batch_id]
    finally:
        raw.batches.CancelBatch(batch_service_pb2.CancelBatchRequest(batch_id=batch_id), timeout=30)


class Peak:
    """The most that a server and its fetching process held."""

    def __init__(self, server: ServerProcess) -> None:
        self._processes = {"server": psutil.Process(server.process.pid)}
        self._processes["fetching"] = fetching_process(server)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.bytes = dict.fromkeys(self._processes, 0)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            for name, process in self._processes.items():
                self.bytes[name] = max(self.bytes[name], process.memory_info().rss)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


def fetching_process(server: ServerProcess) -> psutil.Process:
    children = psutil.Process(server.process.pid).children()
    (fetching,) = [child for child in children if "fetching" in child.cmdline()]
    return fetching


@pytest.mark.parametrize("sort", SORTS)
def test_hostile_streams_hurt_only_themselves(server: ServerProcess, raw: Raw, web: Web, sort: str, tell: Tell) -> None:
    picture = raw.upload(pictures.drawn()).object_key
    others_s(raw, web, picture)  # so that the operation is loaded
    with hosting(sort) as hosts:
        quiet_p99_s, quiet_s = min(p99_s(raw) for _ in range(3)), min(others_s(raw, web, picture) for _ in range(3))
        most_p99_s, most_s = max(QUICK_S, 3 * quiet_p99_s), max(2 * quiet_s, quiet_s + 0.3)
        server_bytes = psutil.Process(server.process.pid).memory_info().rss
        peak = Peak(server)
        try:
            with attack(raw, hosts, rounds=3):
                time.sleep(UNDER_WAY_S)
                attacked_p99_s = least(lambda: p99_s(raw), most_p99_s)
                attacked_s = least(lambda: others_s(raw, web, picture), most_s)
        finally:
            peak.close()
    grown_bytes = peak.bytes["server"] - server_bytes
    tell(
        f"{sort}: calls p99 {attacked_p99_s * 1000:.1f} ms (quiet {quiet_p99_s * 1000:.1f}), others' images "
        f"{attacked_s:.2f} s (quiet {quiet_s:.2f}), fetching process {peak.bytes['fetching'] // MIB} MiB, "
        f"server +{grown_bytes // MIB} MiB"
    )
    assert attacked_p99_s < most_p99_s
    assert attacked_s < most_s
    assert peak.bytes["fetching"] < FETCHING_BYTES
    assert grown_bytes < SERVER_GROWTH_BYTES


@pytest.mark.parametrize("server", [{"max_image_bytes": str(5 * MIB)}], indirect=True)
def test_memory_stays_bounded_over_ten_rounds(server: ServerProcess, raw: Raw, tell: Tell) -> None:
    peak = Peak(server)
    after: list[int] = []
    try:
        with hosting("endless_body") as hosts:
            for _ in range(10):
                with attack(raw, hosts) as batch_ids:
                    raw.watch_to_end(batch_ids[0])
                after.append(fetching_process(server).memory_info().rss)
    finally:
        peak.close()
    tell(f"after each round of {STREAMS} endless bodies: {[size // MIB for size in after]} MiB")
    assert peak.bytes["fetching"] < FETCHING_BYTES
    assert after[-1] < after[0] + 50 * MIB


@pytest.mark.parametrize("sort", ["stalled_at_0", "stalled_at_49_mib"])
def test_six_batches_of_hostile_streams_leave_room_to_a_newcomer(
    server: ServerProcess, raw: Raw, web: Web, sort: str, tell: Tell
) -> None:
    picture = raw.upload(pictures.drawn()).object_key
    others_s(raw, web, picture)
    quiet_s = min(others_s(raw, web, picture) for _ in range(3))
    with hosting(sort) as hosts, ExitStack() as attacks:
        for _ in range(6):
            attacks.enter_context(attack(raw, hosts))
        took_s = []
        for _ in range(6):  # at once, and at whatever moment
            took_s.append(others_s(raw, web, picture))
            time.sleep(0.2)
    usual_s = statistics.median(took_s)
    tell(f"{sort}: others' images within {usual_s:.2f} s, {max(took_s):.2f} at the most (quiet {quiet_s:.2f})")
    assert usual_s < max(2 * quiet_s, quiet_s + 0.3)
    assert max(took_s) < quiet_s + 3.0, "while gigabytes come in"


def test_a_batch_of_hostile_streams_can_be_cancelled(raw: Raw) -> None:
    with hosting("stalled_at_0") as hosts:
        with attack(raw, hosts, rounds=3) as batch_ids:
            time.sleep(UNDER_WAY_S)
        assert raw.watch_to_end(batch_ids[0]).statuses[-1].status == BATCH_STATUS_CANCELLED
