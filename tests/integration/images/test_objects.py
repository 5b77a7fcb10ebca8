"""The local blob store on real files."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError, ObjectNotFound, StoreUnavailable
from imagebatch_server.batches.ports import BlobStore
from imagebatch_server.images.objects import LocalBlobStore

MANY_BYTES = 1 << 30


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "objects"


@pytest.fixture
async def store(root: Path) -> AsyncIterator[LocalBlobStore]:
    store = LocalBlobStore(root)
    yield store
    store.close()


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """The operating system refuses to write further, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_blobs_are_read_as_they_were_written(store: LocalBlobStore, root: Path) -> None:
    blobs = [(store.new_key("default"), os.urandom(size)) for size in (0, 1, 1000, 300_000)]
    port: BlobStore = store  # the type checker holds the store to what the core asks for
    await port.put(*blobs[0])
    await port.put_many(blobs[1:])
    await port.put_many([])
    reopened = LocalBlobStore(root)
    for key, data in blobs:
        assert await reopened.get(key, max_bytes=MANY_BYTES) == data
        assert b"".join([chunk async for chunk in reopened.read(key, 1000)]) == data
        assert reopened.url(key) == next(root.rglob(key)).as_uri()
    assert files(root) == {key for key, _ in blobs}
    reopened.close()


async def test_many_at_once(store: LocalBlobStore) -> None:
    async def one(number: int) -> None:
        key, data = store.new_key("default"), bytes([number]) * 5000
        await store.put(key, data)
        assert await store.get(key, max_bytes=5000) == data

    await asyncio.gather(*(one(number) for number in range(200)))


async def test_several_are_read_in_one_call_each_as_often_as_it_is_asked_for(store: LocalBlobStore) -> None:
    one, other, missing = (store.new_key("default") for _ in range(3))
    await store.put_many([(one, b"1" * 600), (other, b"2" * 600)])
    found = await store.get_many([one, missing, one, other, one], max_bytes=600, max_total_bytes=MANY_BYTES)
    assert [data for data in found if isinstance(data, bytes)] == [b"1" * 600, b"1" * 600, b"2" * 600, b"1" * 600]
    assert [error.code for error in found if isinstance(error, ItemError)] == [ItemErrorCode.OBJECT_NOT_FOUND]
    assert list(await store.get_many([one, one, other, other], max_bytes=600, max_total_bytes=600)) == [b"1" * 600]


async def test_a_blob_grows_by_chunks_and_tells_what_it_is(store: LocalBlobStore, root: Path) -> None:
    key, data = store.new_key("default"), os.urandom(200_000)
    async with store.writer(key) as blob:
        for start in range(0, len(data), 30_000):
            await blob.write(data[start : start + 30_000])
            assert not list(root.glob(f"?/?/{key}"))
    assert (blob.size_bytes, blob.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert blob.head == data[: 64 * 1024]
    assert await store.get(key, max_bytes=MANY_BYTES) == data


async def test_an_empty_blob_is_one(store: LocalBlobStore) -> None:
    key = store.new_key("default")
    async with store.writer(key) as blob:
        pass
    assert (blob.size_bytes, blob.head, blob.sha256) == (0, b"", hashlib.sha256(b"").hexdigest())
    assert await store.get(key, max_bytes=0) == b""


async def test_a_writer_that_is_left_by_an_exception_leaves_nothing(store: LocalBlobStore, root: Path) -> None:
    async def upload() -> None:
        async with store.writer(store.new_key("default")) as blob:
            await blob.write(b"half")
            raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        await upload()
    assert files(root) == set()


async def test_a_writer_whose_task_is_cancelled_leaves_nothing(store: LocalBlobStore, root: Path) -> None:
    begun = asyncio.Event()

    async def upload() -> None:
        async with store.writer(store.new_key("default")) as blob:
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
    with pytest.raises(ItemError) as caught:
        await store.get(key, max_bytes=MANY_BYTES)
    assert caught.value.code is ItemErrorCode.OBJECT_NOT_FOUND
    with pytest.raises(ObjectNotFound):
        _ = [chunk async for chunk in store.read(key)]
    with pytest.raises(ObjectNotFound):
        store.writer(key)
    with pytest.raises(ObjectNotFound):
        await store.put(key, b"x")
    assert store.url(key) is None
    await store.delete(key)
    assert files(root.parent) == {"secret"}


async def test_a_missing_blob_is_not_found(store: LocalBlobStore) -> None:
    key = store.new_key("default")
    with pytest.raises(ItemError) as caught:
        await store.get(key, max_bytes=MANY_BYTES)
    assert caught.value.code is ItemErrorCode.OBJECT_NOT_FOUND
    assert "upload it again" in caught.value.message
    with pytest.raises(ObjectNotFound):
        _ = [chunk async for chunk in store.read(key)]


async def test_a_blob_above_the_limit_is_not_read(store: LocalBlobStore) -> None:
    key = store.new_key("default")
    await store.put(key, bytes(1001))
    assert len(await store.get(key, max_bytes=1001)) == 1001
    with pytest.raises(ItemError, match="1,001 bytes, the limit is 1,000") as caught:
        await store.get(key, max_bytes=1000)
    assert caught.value.code is ItemErrorCode.TOO_LARGE


async def test_deleting_may_be_repeated(store: LocalBlobStore, root: Path) -> None:
    key = store.new_key("default")
    await store.put(key, b"x")
    await store.delete(key)
    await store.delete(key)
    assert files(root) == set()


async def test_a_blob_deleted_while_it_is_read_is_noticed(store: LocalBlobStore) -> None:
    key = store.new_key("default")
    await store.put(key, bytes(10_000))
    chunks = store.read(key, 1000)
    assert [len(await anext(chunks)) for _ in range(3)] == [1000] * 3
    await store.delete(key)
    with pytest.raises(ObjectNotFound):
        await anext(chunks)


async def test_what_killed_writers_left_is_swept(store: LocalBlobStore, root: Path) -> None:
    key = store.new_key("default")
    await store.put(key, b"x")
    for number in range(3):
        (root / "tmp" / f"left{number}").write_bytes(b"half")
    assert store.sweep_temporary() == 3
    assert store.sweep_temporary() == 0
    assert files(root) == {key}


async def test_a_write_that_fails_leaves_nothing(store: LocalBlobStore, root: Path) -> None:
    sizes = [100, 200_000, 100, 300_000, 100]
    blobs = [(store.new_key("default"), bytes(size)) for size in sizes]
    with files_no_larger_than(100_000), pytest.raises(StoreUnavailable, match="File too large") as caught:
        await store.put_many(blobs)
    assert str(root) not in str(caught.value)
    assert files(root) == set()
    await store.put_many(blobs)
    assert len(files(root)) == 5


async def test_a_writer_that_fails_leaves_nothing(store: LocalBlobStore, root: Path) -> None:
    async def upload() -> None:
        async with store.writer(store.new_key("default")) as blob:
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
        await store.put_many([(first, b"x"), (second, b"x")])
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
    fsync, rename = os.fsync, os.rename

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def recorded_rename(source: Path, target: Path) -> None:
        rename(source, target)
        calls.append("rename")

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "rename", recorded_rename)
    await store.put(store.new_key("default"), b"x")
    calls.append("answered")
    async with store.writer(store.new_key("default")) as blob:
        await blob.write(b"x")
    calls.append("answered")
    keys = [f"default.{digit}{'0' * 31}" for digit in "aab"]
    await store.put_many([(key[:-1] + str(number), b"x") for number, key in enumerate(keys)])
    assert calls == ["file", "rename", "folder", "answered"] * 2 + ["file"] * 3 + ["rename"] * 3 + ["folder"] * 2
