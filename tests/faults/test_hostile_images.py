"""Bombs and broken images through a whole server: nothing worse than a failed item, in bounded memory."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.faults.conftest import Tell
from tests.faults.corpus import at_hand, bombs, mutations
from tests.faults.logs import tracebacks
from tests.faults.operations import OPERATIONS
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.enums import ITEM_ERROR_CODE_BY_NUMBER
from imagebatch.v1.types_pb2 import BatchItemResult

MIB = 1024 * 1024
WORKER_BYTES = 1024 * MIB
SERVER_BYTES = 600 * MIB
MUTATIONS = 400
A_BATCH = 100
ITEM_S = 30

REFUSALS = {"unsupported_format", "decode_failed", "too_large"}
"""What is wrong with a file that a decoder refuses."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    settings = {"workers": "2", "worker_memory_bytes": str(WORKER_BYTES)}
    with running_server(tmp_path / "data", settings, OPERATIONS) as running:
        yield running


def run(raw: Raw, files: Sequence[bytes], operation: str) -> list[BatchItemResult]:
    """Run an operation over files, a good picture after each, which must succeed; answers how the files ended."""
    good = item(image_base64=pictures.data_url(pictures.drawn()))
    items = [one for data in files for one in (item(image_base64=pictures.data_url(data)), good)]
    timeout = Duration(seconds=ITEM_S)
    batch_id = raw.submit(items, operation, max_attempts=1, item_timeout=timeout).batch_id
    results = sorted(raw.watch_to_end(batch_id).results, key=lambda result: result.item_index)
    assert len(results) == len(items)
    assert {result.error_code for result in results[1::2]} == {0}, "what is good was not touched"
    return results[::2]


def ends(results: Sequence[BatchItemResult]) -> Counter[str]:
    return Counter(
        ITEM_ERROR_CODE_BY_NUMBER[result.error_code].value if result.error_code else "success" for result in results
    )


def assert_alive(raw: Raw, server: ServerProcess) -> str:
    """Check that the server and its workers live, within their memory, and say so."""
    workers = raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest()).workers
    parent = psutil.Process(server.process.pid)
    most = {"server": _peak_bytes(parent.pid), "worker": max(_peak_bytes(child.pid) for child in parent.children())}
    assert most["server"] < SERVER_BYTES
    assert most["worker"] < WORKER_BYTES + 300 * MIB, "its limit, and the programs and models that it maps"
    assert tracebacks(server) == []
    peaks = ", ".join(f"{name} {size // MIB} MiB" for name, size in most.items())
    return f"{workers.restarted} workers replaced; most memory: {peaks}"


def _peak_bytes(pid: int) -> int:
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert peak is not None
    return int(peak[1]) * 1024


@pytest.mark.timeout(600)
@pytest.mark.parametrize("operation", ["paced", "thumbnail", "describe"])
def test_bombs_fail_alone(raw: Raw, server: ServerProcess, operation: str, tell: Tell) -> None:
    files = bombs()
    began = time.monotonic()
    results = run(raw, list(files.values()), operation)
    took_s = time.monotonic() - began
    lit = {name: result for name, result in zip(files, results, strict=True) if result.error_code}
    for name, result in lit.items():
        assert ITEM_ERROR_CODE_BY_NUMBER[result.error_code] in REFUSALS, (name, result)
        assert result.error_message
    tell(
        f"{len(files)} bombs and broken files, {operation}, {took_s:.1f} s: {dict(ends(results))}; "
        f"{assert_alive(raw, server)}"
    )


@pytest.mark.timeout(6 * 60 * 60)
@pytest.mark.parametrize(("operation", "share"), [("thumbnail", 1.0), ("verify", 0.5), ("describe", 0.1)])
def test_changed_files_fail_alone(
    raw: Raw, server: ServerProcess, operation: str, share: float, seed: int, scale: float, tell: Tell
) -> None:
    chance = random.Random(seed)
    found: Counter[str] = Counter()
    left = round(MUTATIONS * share * scale)
    while left > 0:
        files = list(mutations(chance, min(A_BATCH, left)))
        left -= len(files)
        results = run(raw, files, operation)
        found += ends(results)
        assert set(found) <= {"success", *REFUSALS}, found
    tell(f"{found.total()} changed files, {operation}: {dict(found)}; {assert_alive(raw, server)}")


@pytest.mark.timeout(6 * 60 * 60)
@pytest.mark.parametrize(("operation", "most"), [("thumbnail", 400), ("verify", 120), ("describe", 20)])
def test_every_picture_at_hand_is_read_or_refused(
    raw: Raw, server: ServerProcess, operation: str, most: int, seed: int, scale: float, tell: Tell
) -> None:
    pictures_at_hand = sorted(at_hand().items())
    random.Random(seed).shuffle(pictures_at_hand)
    found: Counter[str] = Counter()
    for start in range(0, min(len(pictures_at_hand), round(most * scale)), A_BATCH):
        files = [data for _, data in pictures_at_hand[start : start + A_BATCH]]
        ended = ends(run(raw, files, operation))
        found += ended
        assert set(ended) <= {"success", *REFUSALS}, ended
    tell(
        f"{found.total()} pictures of {len(pictures_at_hand)}, {operation}: {dict(found)}; {assert_alive(raw, server)}"
    )
