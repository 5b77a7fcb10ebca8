"""A disk that is full, or read-only (a small tmpfs, so root's): what was answered is there, the rest is refused."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.faults.conftest import Tell
from tests.faults.logs import tracebacks
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.faults.trouble import answers, assert_unavailable, live_through
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, Refusal, item, refusal
from tests.server import ServerProcess, running_server

from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED

DISK_BYTES = 24 * 1024 * 1024
KEPT_BYTES = 6 * 1024 * 1024
FULL_S = 5.0
ITEMS = 4


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a small file system of its own; skips where that can't be done."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "imagebatch-test", str(folder)]
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a small tmpfs can't be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def store(disk: Path) -> Store:
    data_dir = disk / "data"
    return Store("sqlite", data_dir, f"sqlite:///{data_dir / 'imagebatch.db'}")


@pytest.fixture
def server(store: Store, tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(store.data_dir, {"stop_grace_s": "2", **store.settings}, OPERATIONS)
    server.log_path = tmp_path / "log"  # which a full disk should not keep from being written
    server.start()
    yield server
    if server.process.poll() is None:
        server.stop()


def keep_free_later(disk: Path) -> None:
    """Take space that `free` gives back, for a test whose server fills the disk by itself."""
    (disk / "filler").write_bytes(bytes(KEPT_BYTES))


def fill(disk: Path) -> None:
    """Take all the space that is left."""
    with (disk / "filler").open("ab", buffering=0) as filler:
        for size in (64 * 1024, 4096):
            try:
                while filler.write(bytes(size)) == size:
                    continue
            except OSError:
                continue


def free(disk: Path) -> None:
    (disk / "filler").unlink()


@pytest.mark.timeout(300)
def test_work_goes_on_after_a_full_disk(
    disk: Path, store: Store, server: ServerProcess, tmp_path: Path, seed: int, tell: Tell
) -> None:
    async def trouble() -> None:
        fill(disk)
        await asyncio.sleep(FULL_S)
        free(disk)

    tell(f"the disk was full for {FULL_S:g} s")
    live_through([trouble], [server], store, tmp_path, seed, tell)


@pytest.mark.timeout(300)
def test_what_was_answered_on_a_disk_that_fills_up_is_there(
    disk: Path, store: Store, server: ServerProcess, tell: Tell
) -> None:
    """Submit until the disk is full, kill the server, free the space: each batch that was answered for is whole."""
    keep_free_later(disk)
    raw = Raw(server.address)
    picture = raw.upload(pictures.drawn()).object_key
    image = pictures.data_url(pictures.noisy("PNG"))
    answered: list[str] = []
    refused: list[Refusal] = []
    while len(refused) < 5:
        try:
            answered.append(raw.submit([item(image_base64=image)] * ITEMS, "noop").batch_id)
        except grpc.RpcError as error:
            refused.append(refusal(error))
    messages = {assert_unavailable(refusal) for refusal in refused}
    fill(disk)
    got = answers(raw, answered[0], picture)
    for name in ("SubmitBatch with base64", "UploadImage"):
        messages.add(assert_unavailable(got[name]))
    for name in ("GetBatchStatus", "GetBatchResults", "WatchBatch", "ListBatches", "DownloadImage"):
        assert got[name] is None, (name, got[name])
    server.kill()
    raw.close()
    server.spawn()
    started_full = server.process.stdout is not None and "listening" in server.process.stdout.readline()
    if not started_full:
        assert server.wait() == 1
        assert tracebacks(server) == []
        tell(f"started on a full disk: {server.log.strip().splitlines()[-1]}")
    free(disk)
    if not started_full:
        server.start()
    raw = Raw(server.address)
    for batch_id in answered:
        watched = raw.watch_to_end(batch_id)
        assert watched.statuses[-1].status == BATCH_STATUS_COMPLETED
        assert len(watched.results) == ITEMS
    found = store.read(answered)
    assert all(not wrong and len(rows) == ITEMS for wrong, rows in found.values())
    assert tracebacks(server) == []
    tell(
        f"{len(answered)} batches were answered before the disk was full, all whole after kill -9 and a restart "
        f"{'on the full disk' if started_full else 'with space'}; refused with {sorted(messages)}"
    )
    raw.close()


def test_a_read_only_folder_ends_the_start_in_one_line(disk: Path, store: Store, tmp_path: Path, tell: Tell) -> None:
    with running_server(store.data_dir, operations=OPERATIONS):
        pass
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    server = ServerProcess(store.data_dir)
    server.log_path = tmp_path / "log"
    server.spawn()
    assert server.wait() == 1
    assert tracebacks(server) == []
    last = server.log.strip().splitlines()[-1]
    assert "ead-only" in last
    tell(last)
