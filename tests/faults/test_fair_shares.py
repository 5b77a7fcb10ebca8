"""A tenant with a thousand batches, on a real server: ten items of another wait for one chunk of work, or one item.

Half of the thousand are of images by URL, all of one host, and so are some of the ten items.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.faults.conftest import Tell
from tests.integration.access.secured import Secured
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.integration.server.web import serving as web_serving
from tests.operations_for_tests import OPERATIONS
from tests.server import running_server

from imagebatch.v1 import batch_service_pb2
from imagebatch_server.access.principal import Role

BATCHES = 1_000
AT_ONCE = 50
"""Submits under way at one time, fewer than a caller may have."""
ITEMS_A_BATCH = 10
FEW = 10
MANY = "many"
ROUNDS = 12
"""Whether the bound holds shows in the first round, but for whatever else the machine does meanwhile."""
FEWS = [f"few-{number}" for number in range(2 * ROUNDS)]
"""A tenant for each round: what one had before its turn, it would pay for in the next round."""
CHUNK_S = 0.25
"""The most work that design lets go in one piece."""


@contextmanager
def serving(folder: Path) -> Iterator[Mapping[str, Raw]]:
    """Run a server, and reach it as a writer of each tenant."""
    folder.mkdir()
    secured = Secured(folder)
    tokens = {tenant: secured.grant(tenant, tenant, Role.WRITER) for tenant in (MANY, *FEWS)}
    with running_server(folder / "data", secured.settings, OPERATIONS) as server:
        secured.server = server
        yield {tenant: secured.client(token) for tenant, token in tokens.items()}
        secured.close()
        server.kill()  # what the many still want would take minutes


def request(raw: Raw, count: int, item_s: float, url: str | None) -> batch_service_pb2.SubmitBatchRequest:
    """Ask for items of known cost, which they spend asleep: the machine has others to serve."""
    image = {"image_url": url} if url is not None else {"object_key": raw.upload(pictures.drawn()).object_key}
    return batch_service_pb2.SubmitBatchRequest(
        options=batch_service_pb2.BatchOptions(operation="scripted"),
        items=[item(**image, metadata={"do": "sleep", "seconds": item_s})] * count,
    )


def takes_s(raw: Raw, item_s: float, url: str | None = None, count: int = FEW) -> float:
    """Submit so many items; answer how long it takes until the last outcome is there (seconds)."""
    asked = request(raw, count, item_s, url)
    began = time.perf_counter()
    watched = raw.watch_to_end(raw.batches.SubmitBatch(asked).batch_id)
    took_s = time.perf_counter() - began
    assert watched.statuses[-1].successful_items == count
    return took_s


@pytest.mark.parametrize("item_s", [0.01, 0.3])
def test_a_thousand_batches_hold_up_ten_items_by_a_chunk_or_an_item(tmp_path: Path, tell: Tell, item_s: float) -> None:
    with web_serving() as web, serving(tmp_path / "quiet") as quiet, serving(tmp_path / "busy") as busy:
        url = f"{web.url}/picture"
        asked = [request(busy[MANY], ITEMS_A_BATCH, item_s, image) for image in (None, url)] * (AT_ONCE // 2)
        for _ in range(BATCHES // AT_ONCE):
            for submitted in [busy[MANY].batches.SubmitBatch.future(each) for each in asked]:
                submitted.result()
        takes_s(quiet[MANY], item_s, count=2)  # so that it knows what such an item takes, as the other one does
        fews = iter(FEWS)
        for kind, image in (("stored", None), ("by URL", url)):
            delays_s: list[float] = []
            while not delays_s or (delays_s[-1] > max(CHUNK_S, item_s) and len(delays_s) < ROUNDS):
                tenant = next(fews)
                asking = partial(takes_s, item_s=item_s, url=image)
                with ThreadPoolExecutor() as threads:
                    alone, beside = threads.map(asking, (quiet[tenant], busy[tenant]))
                delays_s.append(beside - alone)
            told = ", ".join(f"{delay_s:.3f}" for delay_s in delays_s)
            tell(f"ten items of {item_s} s, {kind}: {told} s more beside {BATCHES} batches than alone")
            assert delays_s[-1] <= max(CHUNK_S, item_s)
