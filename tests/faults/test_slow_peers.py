"""Hosts that hang, and watchers that read nothing or are dead: nobody else is slowed by them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.faults.conftest import Tell
from tests.faults.operations import OPERATIONS
from tests.faults.raw_http2 import drip, submitting, watching
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.integration.server.web import Web
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.types_pb2 import BATCH_ITEM_STATUS_SUCCESS, BATCH_STATUS_CANCELLED, BATCH_STATUS_COMPLETED

GOOD = 150
BAD = 100
TIMEOUT_S = 6
DEAD_AFTER_S = 60
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("server") / "data", operations=OPERATIONS) as running:
        yield running


@pytest.fixture
def host() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()


class Silence:
    """A host that takes connections; it sends the start of an answer, then a byte now and then, or nothing at all."""

    def __init__(self, address: str, *, drips: bool) -> None:
        self._listener = socket.create_server((address, 0), backlog=128)
        self._ended = threading.Event()
        self._drips = drips
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        self.url = f"http://{address}:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        connections = []
        while not self._ended.wait(0.2):
            self._listener.settimeout(0.01)
            with contextlib.suppress(TimeoutError):
                while True:
                    connections.append(self._listener.accept()[0])
                    if self._drips:
                        connections[-1].sendall(
                            b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 999\r\n\r\n"
                        )
            if self._drips:
                for connection in connections:
                    with contextlib.suppress(OSError):
                        connection.sendall(b"\x89")
        for connection in connections:
            connection.close()


@contextmanager
def bad_hosts() -> Iterator[list[str]]:
    """One host that hangs, one that drips, one that never accepts a connection."""
    hangs, drips = Silence("127.0.0.2", drips=False), Silence("127.0.0.3", drips=True)
    deaf = socket.create_server(("127.0.0.4", 0), backlog=1)
    try:
        yield [hangs.url, drips.url, f"http://127.0.0.4:{deaf.getsockname()[1]}"]
    finally:
        hangs.close()
        drips.close()
        deaf.close()


@pytest.mark.timeout(300)
def test_hosts_that_hang_slow_no_others(raw: Raw, host: Web, tell: Tell) -> None:
    good = [item(image_url=f"{host.url}/picture?{index}") for index in range(GOOD)]
    timeout = Duration(seconds=TIMEOUT_S)
    raw.watch_to_end(raw.submit(good, "noop", max_attempts=1, item_timeout=timeout).batch_id)
    began = time.monotonic()
    raw.watch_to_end(raw.submit(good, "noop", max_attempts=1, item_timeout=timeout).batch_id)
    alone_s = time.monotonic() - began

    with bad_hosts() as urls:
        bad = [item(image_url=f"{urls[index % len(urls)]}/{index}") for index in range(BAD)]
        mixed = [one for pair in zip(bad, good, strict=False) for one in pair] + good[BAD:]
        began = time.monotonic()
        hanging = raw.submit(bad, "noop", max_attempts=1, item_timeout=timeout).batch_id
        batch_id = raw.submit(mixed, "noop", max_attempts=1, item_timeout=timeout).batch_id
        beside = raw.submit(good, "noop", max_attempts=1, item_timeout=timeout).batch_id
        with ThreadPoolExecutor() as threads:
            another = threads.submit(seconds_until_good, raw, beside, GOOD, began)
            mixed_s = seconds_until_good(raw, batch_id, GOOD, began)
            beside_s = another.result()
        for one in (hanging, batch_id):
            raw.batches.CancelBatch(batch_service_pb2.CancelBatchRequest(batch_id=one))
        ends = [raw.watch_to_end(one) for one in (hanging, batch_id)]
    for end in ends:
        assert end.statuses[-1].status == BATCH_STATUS_CANCELLED
        assert set(end.statuses[-1].failure_counts) <= {"timeout", "fetch_failed"}
    tell(
        f"{GOOD} images took {alone_s:.2f} s alone; mixed with {BAD} of hosts that hang, drip or never accept, beside "
        f"a batch of {BAD} such images, {mixed_s:.2f} s; in a batch of their own beside both, {beside_s:.2f} s"
    )
    assert max(mixed_s, beside_s) < 6 * alone_s + 1, "twice the work, and a small multiple"
    assert max(mixed_s, beside_s) < TIMEOUT_S, "before the first of the others had even timed out"


def seconds_until_good(raw: Raw, batch_id: str, count: int, began: float) -> float:
    """When the watcher has seen so many successes."""
    seen = 0
    for message in raw.watch(batch_id):
        seen += sum(result.status == BATCH_ITEM_STATUS_SUCCESS for result in message.results)
        if seen >= count:
            return time.monotonic() - began
    raise AssertionError(f"{seen} of {count} succeeded")


@pytest.mark.timeout(300)
def test_a_watcher_that_reads_nothing_slows_nobody(server: ServerProcess, raw: Raw, tell: Tell) -> None:
    picture = raw.upload(pictures.drawn()).object_key
    items = [item(object_key=picture, metadata={"characters": 30_000})] * 1_000
    alone_s = verbose_s(raw, raw.submit(items, "verbose").batch_id, time.monotonic())
    memory = psutil.Process(server.process.pid).memory_info
    before = memory().rss
    began = time.monotonic()
    batch_id = raw.submit(items, "verbose").batch_id
    deaf = [watching(server.address, batch_id) for _ in range(10)]
    beside_s = verbose_s(raw, batch_id, began)
    grown = memory().rss - before
    tell(
        f"{len(items)} outcomes of 30 KB reached a watcher in {alone_s:.1f} s alone, in {beside_s:.1f} s beside "
        f"{len(deaf)} watchers that read nothing; the server grew by {grown / MIB:.0f} MiB"
    )
    assert beside_s < 3 * alone_s + 2
    assert grown < 150 * MIB
    for peer in deaf:
        peer.close()


def verbose_s(raw: Raw, batch_id: str, began: float) -> float:
    assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
    return time.monotonic() - began


@pytest.mark.timeout(180)
def test_a_dead_watcher_is_let_go(server: ServerProcess, raw: Raw, tmp_path: Path, tell: Tell) -> None:
    """Its machine takes what is sent and answers no ping; the server must not keep it for ever."""
    gate = tmp_path / "gate"
    picture = raw.upload(pictures.drawn()).object_key
    waits = item(object_key=picture, metadata={"do": "wait", "until": str(gate)})
    batch_id = raw.submit([waits], item_timeout=Duration(seconds=600)).batch_id
    dead = watching(server.address, batch_id)
    dead.settimeout(DEAD_AFTER_S)
    began = time.monotonic()
    received = 0
    while data := dead.recv(65536):
        received += len(data)
    took_s = time.monotonic() - began
    dead.close()
    gate.touch()
    assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
    assert received > 0
    tell(f"a watcher that answers no ping was let go after {took_s:.0f} s")


SLOW_SENDERS = 24
SUBMITS = 10
LONGEST_SUBMIT_S = 6.0
"""The slow senders hold all places for a moment each; they would hold them for a minute, were they waited for."""


def test_senders_of_a_byte_now_and_then_hold_up_no_submits(server: ServerProcess, tell: Tell) -> None:
    """Each of them begins a request of 20 MiB; they are more than may come in at one time."""
    slow = [submitting(server.address, 20 * MIB) for _ in range(SLOW_SENDERS)]
    ended = threading.Event()

    def drip_all() -> None:
        while not ended.wait(0.2):
            for peer in slow:
                with contextlib.suppress(OSError):
                    drip(peer)

    dripping = threading.Thread(target=drip_all)
    dripping.start()
    raw = Raw(server.address)
    took = []
    try:
        for _ in range(SUBMITS):
            began = time.monotonic()
            raw.submit([item(image_base64=pictures.data_url(pictures.drawn()))], "noop")
            took.append(time.monotonic() - began)
    finally:
        ended.set()
        dripping.join()
        raw.close()
        for peer in slow:
            peer.close()
    tell(f"beside {SLOW_SENDERS} slow senders, {SUBMITS} submits took {max(took):.2f} s at the most")
    assert max(took) < LONGEST_SUBMIT_S
    assert sorted(took)[SUBMITS // 2] < 1, "only the first ones wait for places"
