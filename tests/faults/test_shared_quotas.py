"""What one tenant may have of two servers together, asked of both at once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import grpc
import pytest
from tests.faults.conftest import Tell
from tests.faults.fleet import fleet, postgres, seaweed, shared_store
from tests.faults.stores import Store
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item, refusal

from imagebatch.v1.batch_service_pb2 import GetServerInfoRequest

__all__ = ["postgres", "seaweed", "shared_store"]

pytestmark = pytest.mark.postgres

RATE = 50
BURST = 100
PICTURE = pictures.drawn()
SETTINGS = {
    "max_running_batches": "5",
    "max_waiting_items": "25",
    "max_stored_bytes": str(4 * len(PICTURE)),
    "max_requests_per_s": str(RATE),
    "max_requests_burst": str(BURST),
}


@pytest.fixture
def both(shared_store: Store, tmp_path: Path) -> Iterator[Sequence[Raw]]:
    """Provide a connection to each of two servers."""
    with fleet(shared_store, tmp_path, **SETTINGS) as made:
        raws = [Raw(made.add().address) for _ in range(2)]
        yield raws
        for raw in raws:
            raw.close()


def outcome(call: Callable[[], object]) -> str:
    """Call; answers "ok", or the limit that was met."""
    try:
        call()
    except grpc.RpcError as error:
        return refusal(error).metadata["limit"]
    return "ok"


def at_once(calls: int, call: Callable[[Raw], object], raws: Sequence[Raw]) -> Counter[str]:
    """Call servers in turn, all at one moment; answers how often it went well, and which limits were met how often."""
    ready = threading.Barrier(calls)

    def answer(raw: Raw) -> str:
        ready.wait()
        return outcome(lambda: call(raw))

    with ThreadPoolExecutor(calls) as threads:
        return Counter(threads.map(answer, islice(cycle(raws), calls)))


def calls_a_second(raws: Sequence[Raw], for_s: float, counted_s: float) -> float:
    """Call servers as often as they answer; answers how many calls they take in a second, of the last ones."""
    began = time.monotonic()

    def count(raw: Raw) -> int:
        taken = 0
        while (passed_s := time.monotonic() - began) < for_s:
            met = outcome(lambda: raw.batches.GetServerInfo(GetServerInfoRequest()))
            assert met in ("ok", "max_requests_per_s")
            taken += met == "ok" and passed_s >= for_s - counted_s
        return taken

    with ThreadPoolExecutor(len(raws)) as threads:
        return sum(threads.map(count, raws)) / counted_s


def test_two_servers_give_no_more_than_one(both: Sequence[Raw], tmp_path: Path, tell: Tell) -> None:
    first = both[0].upload(PICTURE)
    uploads = at_once(4, lambda raw: raw.upload(PICTURE), both)
    while "ok" in (more := at_once(1, lambda raw: raw.upload(PICTURE), both[1:])):
        uploads += more  # uploads that are under way hold room that one of them can't use
    assert uploads["ok"] == 3
    assert set(uploads) <= {"ok", "max_stored_bytes"}

    waits = item(object_key=first.object_key, metadata={"do": "wait", "until": str(tmp_path / "gate")})
    assert at_once(6, lambda raw: raw.submit([waits] * 10), both) == {"ok": 2, "max_waiting_items": 4}
    assert at_once(6, lambda raw: raw.submit([waits]), both) == {"ok": 3, "max_running_batches": 3}

    together = calls_a_second(both, for_s=9, counted_s=4)
    assert 0.7 * RATE < together < 1.3 * RATE
    alone = calls_a_second(both[:1], for_s=6, counted_s=3)
    assert 0.7 * RATE < alone < 1.3 * RATE
    tell(f"of a tenant's {RATE} calls a second two servers took {together:.0f} together, and one alone {alone:.0f}")
    (tmp_path / "gate").touch()
