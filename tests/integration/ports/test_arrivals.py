"""Images that callers upload to the bucket by themselves, at S3 and Azure: the port `Arrivals`, and what it is for."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from tests.integration.batches.core import core
from tests.integration.ports.test_blob_store import BUCKETS, azurite, bucket_of, seaweed

from imagebatch_server.batches.arrived_uploads import ArrivedUploads, ArrivingBlobs
from imagebatch_server.batches.awaited_uploads import AwaitedUploads
from imagebatch_server.batches.errors import ItemError, ObjectNotFound
from imagebatch_server.batches.model import BlobName, UploadUrl
from imagebatch_server.batches.ports.objects import ObjectRows
from imagebatch_server.objects.bucket_place import BucketPlace
from imagebatch_server.objects.remote import RemoteBlobStore
from imagebatch_server.objects.remote_arrivals import RemoteArrivals

__all__ = ["azurite", "seaweed"]

DATA = b"an image, as far as anybody knows"
OTHER = DATA[::-1]
LIFETIME = timedelta(hours=1)


@dataclass
class Site:
    """A bucket with its rows, as two servers have them."""

    blobs: RemoteBlobStore
    rows: ObjectRows
    arrivals: RemoteArrivals
    awaited: AwaitedUploads
    servers: tuple[ArrivedUploads, ArrivedUploads]

    async def promise(self) -> tuple[BlobName, UploadUrl]:
        promised, url = await self.awaited.promise("default", "image/png", "a.png", len(DATA))
        return promised.blob, url

    async def stored(self, name: BlobName) -> bytes:
        """Read what the row and the blob say, which must be one."""
        row = await self.rows.get(name.tenant, name.object_key)
        data = b"".join([chunk async for chunk in self.blobs.read(name)])
        assert row.size_bytes == len(data)
        return data


@pytest.fixture(params=BUCKETS)
async def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    kind = bucket_of(request.getfixturevalue(request.param), monkeypatch)
    async with AsyncExitStack() as opened:
        made = await opened.enter_async_context(core(tmp_path))
        place = kind.place()
        assert isinstance(place, BucketPlace)
        blobs, arrivals = RemoteBlobStore(place, LIFETIME), RemoteArrivals(place, LIFETIME)
        of_two = [AwaitedUploads(blobs, made.objects, arrivals, max_image_bytes=1_000) for _ in range(2)]
        one, other = (ArrivedUploads(blobs, made.objects, awaited, arrivals) for awaited in of_two)
        yield Site(blobs, made.objects, arrivals, of_two[0], (one, other))


async def put(url: UploadUrl, data: bytes) -> None:
    """Upload as a caller does who knows nothing but the answer of CreateUploadUrl."""
    request = urllib.request.Request(url.url, data, dict(url.headers), method="PUT")
    with await asyncio.to_thread(urllib.request.urlopen, request) as answer:
        assert answer.status in (200, 201)


async def test_what_came_is_taken_in_once_and_can_not_be_replaced_then(site: Site) -> None:
    name, url = await site.promise()
    one, other = site.servers
    assert await one.take_in([name]) is False
    await put(url, OTHER)
    await put(url, DATA)
    assert all(await asyncio.gather(one.take_in([name]), one.take_in([name]), other.take_in([name])))
    assert await site.stored(name) == DATA
    await put(url, OTHER)  # the URL is good still
    assert await one.take_in([name]) is True
    assert await site.stored(name) == DATA
    await site.blobs.delete([name.object_key])
    assert await site.arrivals.size_bytes(name.object_key) is None


async def test_what_is_of_another_size_or_tenant_is_not_taken_in(site: Site) -> None:
    name, url = await site.promise()
    one, _ = site.servers
    await put(url, DATA + b"more")
    assert await one.take_in([name]) is False
    await put(url, DATA)
    assert await one.take_in([BlobName("other", name.object_key)]) is False
    with pytest.raises(ObjectNotFound):
        await site.rows.get("default", name.object_key)
    assert await one.take_in([name, BlobName("default", site.blobs.new_key("default"))]) is True
    assert await site.stored(name) == DATA


async def test_what_a_server_copied_that_died_before_it_said_so_counts(site: Site) -> None:
    name, url = await site.promise()
    async with site.blobs.writer(name.object_key, "image/png") as blob:
        await blob.write(OTHER)
    await put(url, DATA)
    assert await site.servers[0].take_in([name]) is True
    assert await site.stored(name) == OTHER


async def test_items_find_what_came(site: Site) -> None:
    (name, url), (empty, _) = await site.promise(), await site.promise()
    await put(url, DATA)
    reader = ArrivingBlobs(site.blobs, site.servers[0].take_in)
    found = await reader.get_many([name, empty, name], max_bytes=1_000, max_total_bytes=10_000)
    assert found[0] == found[2] == DATA
    assert isinstance(found[1], ItemError)
