"""The bucket of images gone for a while, or hanging: clear answers, no attempt counted, nothing lost or doubled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.conftest import Tell
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.faults.trouble import answers, assert_unavailable, live_through
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.object_servers import SeaweedServer
from tests.server import ServerProcess, running_server

from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED

pytestmark = pytest.mark.timeout(600)

GONE_S = 15.0
"""Longer than a request is tried again. `make soak` takes a minute."""

LONGEST_GONE_S = 60.0
NEED_THE_BUCKET = {"SubmitBatch with base64", "UploadImage", "DownloadImage"}


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[SeaweedServer]:
    folder = tmp_path / "seaweed"
    folder.mkdir()
    server = SeaweedServer(folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def store(bucket: SeaweedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    data_dir = tmp_path / "data"
    url = f"sqlite:///{data_dir / 'imagebatch.db'}"
    return Store("sqlite", data_dir, url, object_store_url=bucket.url("images"))


@pytest.fixture
def server(store: Store) -> Iterator[ServerProcess]:
    with running_server(store.data_dir, {"stop_grace_s": "2", **store.settings}, operations=OPERATIONS) as running:
        yield running


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_work_goes_on_after_the_bucket_was_away(
    bucket: SeaweedServer,
    store: Store,
    server: ServerProcess,
    tmp_path: Path,
    seed: int,
    scale: float,
    tell: Tell,
    how: str,
) -> None:
    gone_s = min(GONE_S * scale, LONGEST_GONE_S)

    async def trouble() -> None:
        bucket.kill() if how == "killed" else bucket.freeze()
        await asyncio.sleep(gone_s)
        await asyncio.to_thread(bucket.start) if how == "killed" else bucket.thaw()

    tell(f"the bucket was {how} for {gone_s:g} s")
    live_through([trouble], [server], store, tmp_path, seed, tell)


def test_what_is_answered_while_the_bucket_is_gone(bucket: SeaweedServer, server: ServerProcess, tell: Tell) -> None:
    raw = Raw(server.address)
    picture = raw.upload(pictures.drawn()).object_key
    batch_id = raw.submit([item(object_key=picture)]).batch_id
    raw.watch_to_end(batch_id)
    bucket.kill()
    began = time.monotonic()
    got = answers(raw, batch_id, picture)
    tell(f"answered after {time.monotonic() - began:.1f} s")
    for name in NEED_THE_BUCKET:
        message = assert_unavailable(got[name], "object store")
        assert "127.0.0.1" not in message, "where it is, is the operator's business"
    assert {name for name, answer in got.items() if answer} == NEED_THE_BUCKET | {"DeleteBatch"}
    waiting = raw.submit([item(object_key=picture)], max_attempts=1).batch_id
    bucket.start()
    assert raw.watch_to_end(waiting).statuses[-1].status == BATCH_STATUS_COMPLETED, "its only attempt was not spent"
    raw.close()


def test_a_server_stops_in_time_although_the_bucket_hangs(bucket: SeaweedServer, server: ServerProcess) -> None:
    raw = Raw(server.address)
    picture = raw.upload(pictures.drawn()).object_key
    bucket.freeze()
    raw.submit([item(object_key=picture) for _ in range(50)])
    raw.close()
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 10


def test_a_server_waits_for_a_bucket_that_is_away_at_the_start(
    bucket: SeaweedServer, store: Store, tmp_path: Path
) -> None:
    bucket.kill()
    server = ServerProcess(store.data_dir, store.settings)
    server.spawn()
    bucket.start()
    try:
        assert any(" listening on " in line for line in server.process.stdout or [])
    finally:
        assert server.stop() == 0
