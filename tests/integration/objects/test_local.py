"""What is particular to the local blob store, on real files; tests/integration/ports holds what all stores must do."""

from __future__ import annotations

import asyncio
import os
import resource
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError, ObjectNotFound, StoreUnavailable
from imagebatch_server.batches.model import BlobName
from imagebatch_server.batches.ports.objects import NewBlob
from imagebatch_server.objects.local import LocalBlobStore

MANY_BYTES = 1 << 30


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "objects"


@pytest.fixture
async def store(root: Path) -> AsyncIterator[LocalBlobStore]:
    store = LocalBlobStore(root)
    yield store
    await store.close()


def files(folder: Path) -> set[str]:
    """All of them but the one with the folder's id."""
    return {path.name for path in folder.rglob("*") if path.is_file() and path.name != "store-id"}


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """Have the operating system refuse to write further, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_writer_that_is_left_by_an_exception_leaves_nothing(store: LocalBlobStore, root: Path) -> None:
    async def upload() -> None:
        async with store.writer(store.new_key("default"), "") as blob:
            await blob.write(b"half")
            raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        await upload()
    assert files(root) == set()


async def test_a_writer_whose_task_is_cancelled_leaves_nothing(store: LocalBlobStore, root: Path) -> None:
    begun = asyncio.Event()

    async def upload() -> None:
        async with store.writer(store.new_key("default"), "") as blob:
            await blob.write(b"half")
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(upload())
    await begun.wait()
    assert len(files(root)) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(root) == set()


async def test_keys_are_random_and_name_their_tenant(store: LocalBlobStore) -> None:
    keys = {store.new_key("team-1_a") for _ in range(1000)}
    assert len(keys) == 1000
    assert all(key.startswith("team-1_a.") and len(key) == len("team-1_a.") + 32 for key in keys)
    for tenant in ("", "Team", "a.b", "a/b", "..", "a" * 64, "ä", "-a", "a\n"):
        with pytest.raises(ValueError, match="tenant"):
            store.new_key(tenant)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "default",
        "default.",
        f"default.{'0' * 31}",
        f"default.{'0' * 33}",
        f"default.{'0' * 32}\n",
        f"default.{'A' * 32}",
        f"default.{'g' * 32}",
        f".{'0' * 32}",
        f"Default.{'0' * 32}",
        f"../default.{'0' * 32}",
        f"/default.{'0' * 32}",
        f"a/b.{'0' * 32}",
        f"a\\b.{'0' * 32}",
        f"a\0b.{'0' * 32}",
        f"a%2fb.{'0' * 32}",
        f"{'a' * 64}.{'0' * 32}",
        "../../../../etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "tmp/../secret",
        "default.\uff10" + "0" * 31,
    ],
)
async def test_what_is_no_key_is_no_blob(store: LocalBlobStore, root: Path, key: str) -> None:
    (root.parent / "secret").write_text("x")
    (root / "tmp" / "secret").write_text("x")
    name = BlobName(key.partition(".")[0], key)
    (found,) = await store.get_many([name], max_bytes=MANY_BYTES, max_total_bytes=MANY_BYTES)
    assert isinstance(found, ItemError)
    assert found.code is ItemErrorCode.OBJECT_NOT_FOUND
    with pytest.raises(ObjectNotFound):
        _ = [chunk async for chunk in store.read(name)]
    with pytest.raises(ObjectNotFound):
        store.writer(key, "")
    with pytest.raises(ObjectNotFound):
        await store.put_many([NewBlob(key, b"x", "")])
    assert store.url(name) is None
    await store.delete([key])
    assert files(root.parent) == {"secret"}


async def test_a_blob_deleted_while_it_is_read_is_noticed(store: LocalBlobStore) -> None:
    key = store.new_key("default")
    await store.put_many([NewBlob(key, bytes(10_000), "")])
    chunks = store.read(BlobName("default", key), chunk_bytes=1000)
    assert [len(await anext(chunks)) for _ in range(3)] == [1000] * 3
    await store.delete([key])
    with pytest.raises(ObjectNotFound):
        await anext(chunks)


async def test_what_killed_writers_left_is_swept(store: LocalBlobStore, root: Path) -> None:
    key = store.new_key("default")
    await store.put_many([NewBlob(key, b"x", "")])
    for number in range(3):
        (root / "tmp" / f"left{number}").write_bytes(b"half")
    assert await store.sweep_temporary() == 3
    assert await store.sweep_temporary() == 0
    assert files(root) == {key}


async def test_a_write_that_fails_leaves_nothing(store: LocalBlobStore, root: Path) -> None:
    sizes = [100, 200_000, 100, 300_000, 100]
    blobs = [NewBlob(store.new_key("default"), bytes(size), "") for size in sizes]
    with files_no_larger_than(100_000), pytest.raises(StoreUnavailable, match="File too large") as caught:
        await store.put_many(blobs)
    assert str(root) not in str(caught.value)
    assert files(root) == set()
    await store.put_many(blobs)
    assert len(files(root)) == 5


async def test_a_writer_that_fails_leaves_nothing(store: LocalBlobStore, root: Path) -> None:
    async def upload() -> None:
        async with store.writer(store.new_key("default"), "") as blob:
            for _ in range(100):
                await blob.write(bytes(10_000))

    with files_no_larger_than(100_000), pytest.raises(StoreUnavailable):
        await upload()
    assert files(root) == set()


async def test_a_name_that_can_not_be_made_leaves_nothing(store: LocalBlobStore, root: Path) -> None:
    first, second = store.new_key("default"), store.new_key("default")
    random = second.partition(".")[2]
    (root / random[0] / random[1]).rmdir()
    with pytest.raises(StoreUnavailable):
        await store.put_many([NewBlob(first, b"x", ""), NewBlob(second, b"x", "")])
    assert files(root) == set()


def test_a_root_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailable):
        LocalBlobStore(tmp_path / "file" / "objects")


async def test_bytes_are_durable_before_the_name_and_the_name_before_the_answer(
    store: LocalBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The order of the calls; that they reach the disk before the answer leaves is for tests/faults to show.
    calls: list[str] = []
    fsync, link = os.fsync, os.link

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def recorded_link(source: Path, target: Path) -> None:
        link(source, target)
        calls.append("name")

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "link", recorded_link)
    await store.put_many([NewBlob(store.new_key("default"), b"x", "")])
    calls.append("answered")
    async with store.writer(store.new_key("default"), "") as blob:
        await blob.write(b"x")
    calls.append("answered")
    keys = [f"default.{digit}{'0' * 31}" for digit in "aab"]
    await store.put_many([NewBlob(key[:-1] + str(number), b"x", "") for number, key in enumerate(keys)])
    assert calls == ["file", "name", "folder", "answered"] * 2 + ["file"] * 3 + ["name"] * 3 + ["folder"] * 2
