"""The ports `SweptBlobStore` and `ObjectStorePlace`, on each implementation: a folder, S3, Azure."""

from __future__ import annotations

import asyncio
import hashlib
import os
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import psutil
import pytest
from structlog.testing import capture_logs
from tests.object_servers import ObjectServer, SeaweedServer, azurite, seaweed

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError, ObjectExists, ObjectNotFound, StoreUnavailable
from imagebatch_server.batches.model import BlobName
from imagebatch_server.batches.ports.objects import BlobWriter, NewBlob, ObjectStorePlace, StoredBlob, SweptBlobStore
from imagebatch_server.objects.bucket_place import BucketPlace
from imagebatch_server.objects.layout import FOLDERS
from imagebatch_server.objects.local import LocalBlobStore
from imagebatch_server.objects.remote import RemoteBlobStore
from imagebatch_server.objects.store_id import StoreFolder

__all__ = ["azurite", "seaweed"]

MANY_BYTES = 1 << 30
MIB = 1024 * 1024
PNG = "image/png"


class Kind(Protocol):
    """One implementation, with an empty place for each test."""

    def place(self) -> ObjectStorePlace: ...

    def open(self) -> SweptBlobStore: ...


class Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def place(self) -> ObjectStorePlace:
        return StoreFolder(self._root)

    def open(self) -> SweptBlobStore:
        return LocalBlobStore(self._root)


class Bucket:
    def __init__(self, url: str) -> None:
        self._url = url

    def place(self) -> ObjectStorePlace:
        return BucketPlace(self._url)

    def open(self) -> SweptBlobStore:
        return RemoteBlobStore(BucketPlace(self._url), timedelta(hours=1))


BUCKETS = ["seaweed", pytest.param("azurite", marks=pytest.mark.node)]
GCS = pytest.param("gcs", marks=pytest.mark.skip(reason="there is no emulator of Google's that answers obstore"))


@pytest.fixture(params=["folder", *BUCKETS, GCS])
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kind:
    if request.param == "folder":
        return Folder(tmp_path / "objects")
    return bucket_of(request.getfixturevalue(request.param), monkeypatch)


@pytest.fixture(params=[*BUCKETS, GCS])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kind:
    return bucket_of(request.getfixturevalue(request.param), monkeypatch)


def bucket_of(server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return Bucket(server.url(f"{uuid.uuid4()}/of-a-test"))


@pytest.fixture
async def store(kind: Kind) -> AsyncIterator[SweptBlobStore]:
    store = kind.open()
    yield store
    await store.close()


def blob(store: SweptBlobStore, data: bytes, content_type: str = PNG) -> NewBlob:
    return NewBlob(store.new_key("default"), data, content_type)


async def put(store: SweptBlobStore, data: bytes) -> str:
    new = blob(store, data)
    await store.put_many([new])
    return new.key


def named(key: str) -> BlobName:
    return BlobName("default", key)


async def get(store: SweptBlobStore, key: str, *, max_bytes: int) -> bytes:
    (found,) = await store.get_many([named(key)], max_bytes=max_bytes, max_total_bytes=MANY_BYTES)
    if isinstance(found, ItemError):
        raise found
    return found


async def read(store: SweptBlobStore, key: str) -> bytes:
    return b"".join([chunk async for chunk in store.read(named(key))])


async def everything(store: SweptBlobStore) -> list[StoredBlob]:
    """List until each part of the store had its turn."""
    found: dict[str, StoredBlob] = {}
    for _ in range(1 if isinstance(store, LocalBlobStore) else len(FOLDERS)):
        found.update({entry.key: entry async for part in store.listing() for entry in part})
    return list(found.values())


async def test_blobs_are_read_as_they_were_written(kind: Kind, store: SweptBlobStore) -> None:
    blobs = [blob(store, os.urandom(size)) for size in (0, 1, 1000, 300_000)]
    await store.put_many(blobs)
    await store.put_many([])
    reopened = kind.open()
    for new in blobs:
        assert await get(reopened, new.key, max_bytes=MANY_BYTES) == new.data
        assert await read(reopened, new.key) == new.data
    await reopened.close()


async def test_a_blob_is_read_from_where_it_is_asked_for(store: SweptBlobStore) -> None:
    data = os.urandom(3 * MIB)
    key = await put(store, data)
    for start in (0, 1, MIB, len(data) - 1, len(data)):
        assert b"".join([chunk async for chunk in store.read(named(key), start)]) == data[start:]


async def test_many_at_once(store: SweptBlobStore) -> None:
    async def one(number: int) -> None:
        data = bytes([number]) * 5000
        assert await get(store, await put(store, data), max_bytes=5000) == data

    await asyncio.gather(*(one(number) for number in range(100)))


async def test_several_are_read_in_one_call_each_as_often_as_it_is_asked_for(store: SweptBlobStore) -> None:
    one, other, missing = await put(store, b"1" * 600), await put(store, b"2" * 600), store.new_key("default")
    names = list(map(named, [one, missing, one, other, one]))
    found = await store.get_many(names, max_bytes=600, max_total_bytes=MANY_BYTES)
    assert [data for data in found if isinstance(data, bytes)] == [b"1" * 600, b"1" * 600, b"2" * 600, b"1" * 600]
    assert [error.code for error in found if isinstance(error, ItemError)] == [ItemErrorCode.OBJECT_NOT_FOUND]
    names = list(map(named, [one, one, other, other]))
    assert list(await store.get_many(names, max_bytes=600, max_total_bytes=600)) == [b"1" * 600]
    names = [named(await put(store, bytes(100))) for _ in range(40)]
    assert len(await store.get_many(names, max_bytes=100, max_total_bytes=MANY_BYTES)) == 40
    assert len(await store.get_many(names, max_bytes=100, max_total_bytes=3_050)) == 31


@pytest.mark.parametrize("size_bytes", [0, 70_000, 5 * MIB, 5 * MIB + 1, 16 * MIB])
async def test_a_blob_grows_by_chunks_of_any_size_and_tells_what_it_is(store: SweptBlobStore, size_bytes: int) -> None:
    key, data = store.new_key("default"), os.urandom(size_bytes)
    async with store.writer(key, PNG) as writer:
        for start in range(0, size_bytes, 700_001):
            await writer.write(data[start : start + 700_001])
    assert (writer.size_bytes, writer.sha256) == (size_bytes, hashlib.sha256(data).hexdigest())
    assert writer.head == data[: 64 * 1024]
    assert await get(store, key, max_bytes=MANY_BYTES) == data
    assert await read(store, key) == data


@pytest.mark.parametrize("size_bytes", [1000, 12 * MIB])
async def test_a_writer_that_is_left_by_an_exception_leaves_nothing(store: SweptBlobStore, size_bytes: int) -> None:
    key = store.new_key("default")

    async def upload() -> None:
        async with store.writer(key, PNG) as writer:
            await writer.write(bytes(size_bytes))
            raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        await upload()
    assert await store.missing([key]) == [key]


async def test_a_writer_whose_task_is_cancelled_leaves_nothing(store: SweptBlobStore) -> None:
    begun, key = asyncio.Event(), store.new_key("default")

    async def upload() -> None:
        async with store.writer(key, PNG) as writer:
            await writer.write(bytes(6 * MIB))
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(upload())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.missing([key]) == [key]


async def test_of_sixteen_that_write_one_key_one_wins(store: SweptBlobStore) -> None:
    key = store.new_key("default")

    async def write(number: int) -> int | None:
        try:
            async with store.writer(key, PNG) as writer:
                await writer.write(bytes([number]) * 1000)
        except ObjectExists:
            return None
        return number

    won = [number for number in await asyncio.gather(*map(write, range(16))) if number is not None]
    assert len(won) == 1
    assert await get(store, key, max_bytes=1000) == bytes(won) * 1000


async def test_what_is_written_is_never_written_over(store: SweptBlobStore) -> None:
    key = await put(store, b"first")
    beside = blob(store, b"beside")
    with pytest.raises(ObjectExists, match=key):
        await store.put_many([beside, NewBlob(key, b"other", PNG)])
    for size_bytes in (10, 6 * MIB):
        with pytest.raises(ObjectExists, match=key):
            async with store.writer(key, PNG) as writer:
                await writer.write(bytes(size_bytes))
    assert await get(store, key, max_bytes=10) == b"first"
    assert await store.missing([beside.key]) == [beside.key]


@pytest.mark.parametrize("key", ["", "default", f"default.{'0' * 31}", f"../default.{'0' * 32}", "store-id", "a/../b"])
async def test_what_is_no_key_is_no_blob(store: SweptBlobStore, key: str) -> None:
    with pytest.raises(ItemError) as caught:
        await get(store, key, max_bytes=MANY_BYTES)
    assert caught.value.code is ItemErrorCode.OBJECT_NOT_FOUND
    with pytest.raises(ObjectNotFound):
        await read(store, key)
    with pytest.raises(ObjectNotFound):
        store.writer(key, PNG)
    with pytest.raises(ObjectNotFound):
        await store.put_many([NewBlob(key, b"x", PNG)])
    assert store.url(named(key)) is None
    await store.delete([key])


async def test_a_missing_blob_is_not_found(store: SweptBlobStore) -> None:
    key = store.new_key("default")
    with pytest.raises(ItemError, match="upload it again") as caught:
        await get(store, key, max_bytes=MANY_BYTES)
    assert caught.value.code is ItemErrorCode.OBJECT_NOT_FOUND
    with pytest.raises(ObjectNotFound):
        await read(store, key)
    there = await put(store, b"x")
    assert await store.missing([key, there]) == [key]


async def test_another_tenants_blob_is_as_one_that_is_not_there(store: SweptBlobStore) -> None:
    key = await put(store, b"x")
    for tenant in ("defaul", "default.x", "", "Default", "other"):
        theirs = BlobName(tenant, key)
        (found,) = await store.get_many([theirs], max_bytes=1, max_total_bytes=1)
        assert isinstance(found, ItemError)
        assert str(found) == str(ObjectNotFound(key))
        with pytest.raises(ObjectNotFound):
            _ = [chunk async for chunk in store.read(theirs)]
        assert store.url(theirs) is None
    assert await read(store, key) == b"x"


async def test_a_blob_above_the_limit_is_not_read(store: SweptBlobStore) -> None:
    key = await put(store, bytes(1001))
    assert len(await get(store, key, max_bytes=1001)) == 1001
    with pytest.raises(ItemError, match="1,001 bytes, the limit is 1,000") as caught:
        await get(store, key, max_bytes=1000)
    assert caught.value.code is ItemErrorCode.TOO_LARGE


async def test_deleting_may_be_repeated(store: SweptBlobStore) -> None:
    key = await put(store, b"x")
    await store.delete([key])
    await store.delete([key])
    assert await store.missing([key]) == [key]


async def test_a_blob_deleted_while_it_is_read_is_noticed(store: SweptBlobStore) -> None:
    key = await put(store, bytes(3 * MIB))
    async with aclosing(store.read(named(key))) as chunks:
        await anext(chunks)
        await store.delete([key])
        with pytest.raises(ObjectNotFound):
            _ = [chunk async for chunk in chunks]


async def test_all_blobs_are_listed_in_turn_with_their_times(store: SweptBlobStore) -> None:
    keys = [await put(store, b"x") for _ in range(20)]
    found = await everything(store)
    assert sorted(entry.key for entry in found) == sorted(keys)
    now = datetime.now(UTC)
    assert all(abs(entry.since - now) < timedelta(minutes=5) for entry in found)


async def test_a_blob_that_was_set_aside_is_gone_until_it_is_put_back(store: SweptBlobStore) -> None:
    kept, back, gone = [await put(store, bytes([number])) for number in range(3)]
    await store.quarantine([back, gone, store.new_key("default")])
    assert await store.missing([kept, back, gone]) == [back, gone]
    assert [entry.key for entry in await everything(store)] == [kept]
    aside = [entry async for part in store.quarantined() for entry in part]
    assert {entry.key for entry in aside} == {back, gone}
    assert all(abs(entry.since - datetime.now(UTC)) < timedelta(minutes=5) for entry in aside)
    await store.put_back([back])
    await store.discard([gone, gone])
    assert [entry async for part in store.quarantined() for entry in part] == []
    assert await get(store, back, max_bytes=1) == b"\1"
    assert await store.missing([kept, back, gone]) == [gone]


async def test_a_place_is_known_again_by_its_id(kind: Kind) -> None:
    place = kind.place()
    assert place.id() is None
    assert place.is_empty()
    made = place.make_id()
    assert {place.make_id(), kind.place().id()} == {made}
    store = kind.open()
    key = await put(store, b"x")
    assert not place.is_empty()
    assert place.holds_any([store.new_key("default"), key])
    assert not place.holds_any([store.new_key("default"), "no key"])
    await store.close()


async def test_of_several_that_make_a_buckets_id_one_does(bucket: Kind) -> None:
    assert len(set(await asyncio.gather(*(asyncio.to_thread(bucket.place().make_id) for _ in range(8))))) == 1


async def test_a_large_blob_takes_little_memory(bucket: Kind) -> None:
    store, key, chunk = bucket.open(), "default." + uuid.uuid4().hex, os.urandom(MIB)
    process = psutil.Process()
    await put(store, bytes(6 * MIB))  # what the client takes once
    before = most = process.memory_info().rss
    async with store.writer(key, PNG) as writer:
        for _ in range(200):
            await writer.write(chunk)
            most = max(most, process.memory_info().rss)
    digest = hashlib.sha256()
    async for part in store.read(named(key)):
        digest.update(part)
        most = max(most, process.memory_info().rss)
    assert digest.hexdigest() == writer.sha256
    assert most - before < 80 * MIB


async def test_a_url_is_signed_and_serves_an_image_as_such_and_a_page_as_bytes(bucket: Kind) -> None:
    store = bucket.open()
    image, page = blob(store, b"image"), blob(store, b"<script>", "text/html")
    await store.put_many([image, page])
    for new, served_as in ((image, PNG), (page, "application/octet-stream")):
        url = store.url(named(new.key))
        assert url is not None
        with await asyncio.to_thread(urllib.request.urlopen, url) as answer:
            assert (answer.read(), answer.headers["Content-Type"]) == (new.data, served_as)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            await asyncio.to_thread(urllib.request.urlopen, url.replace(image.key, page.key)[:-3] + "abc")


async def write_parts(writer: BlobWriter, parts: int) -> None:
    """More than a writer sends ahead, so that it must hear of the first ones."""
    for _ in range(parts):
        await writer.write(bytes(5 * MIB))


@pytest.mark.parametrize("stop", ["kill", "freeze"])
async def test_a_store_that_is_away_is_said_to_be_and_nothing_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    server = SeaweedServer(tmp_path)
    server.start()
    try:
        kind = bucket_of(server, monkeypatch)
        store = kind.open()
        key, other = await put(store, b"x" * 1000), store.new_key("default")
        removed = await put(store, b"z")  # maybe: what was asked of a frozen server is done once it thaws
        writer = store.writer(store.new_key("default"), PNG)
        await writer.__aenter__()
        getattr(server, stop)()
        calls = (
            get(store, key, max_bytes=MANY_BYTES),
            store.get_many(list(map(named, [key, other])), max_bytes=MANY_BYTES, max_total_bytes=MANY_BYTES),
            put(store, b"y"),
            read(store, key),
            store.missing([key]),
            store.delete([removed]),
            write_parts(writer, 12),
            asyncio.to_thread(kind.place().id),
        )
        failed = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in failed] == [StoreUnavailable] * len(calls)
        assert {str(error) for error in failed} == {
            "the store is not available: the object store does not answer; try again"
        }
        await writer.__aexit__(RuntimeError)
        server.start() if stop == "kill" else server.thaw()
        assert await get(store, key, max_bytes=MANY_BYTES) == b"x" * 1000
        assert await store.missing([key, other]) == [other]
    finally:
        server.kill()


async def test_the_operator_is_told_what_the_provider_calls_its_refusal(
    seaweed: SeaweedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = bucket_of(seaweed, monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with capture_logs() as logs, pytest.raises(StoreUnavailable):
        await put(kind.open(), b"x")
    assert [line["why"].rpartition(" ")[2] for line in logs] == ["SignatureDoesNotMatch"]
