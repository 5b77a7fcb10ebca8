"""Buckets that are opened to tenants, on a real server that speaks S3, and on Azure's emulator."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

import pytest
from tests.object_servers import ObjectServer, azurite, seaweed

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.objects.bucket import open_bucket
from imagebatch_server.objects.bucket_place import BucketPlace
from imagebatch_server.objects.opened import OpenedBuckets
from imagebatch_server.urls import read_bucket

__all__ = ["azurite", "seaweed"]


@pytest.fixture(params=["seaweed", pytest.param("azurite", marks=pytest.mark.node)])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    found: ObjectServer = request.getfixturevalue(request.param)
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    return found


def put(url: str, data: bytes, content_type: str = "image/png") -> str:
    """Put an object where a URL says, and answer the URL."""
    named = read_bucket(url)
    open_bucket(named.root).put(named.path, data, attributes={"Content-Type": content_type})
    return url


def opened(*prefixes: str, own: BucketPlace | None = None) -> OpenedBuckets:
    to = {"one": prefixes}

    def read_buckets(tenant: str) -> Sequence[str]:
        return to.get(tenant, ())

    return OpenedBuckets(read_buckets, read_buckets, own, max_image_bytes=1000)


async def admitted(size_bytes: int) -> None:
    assert size_bytes <= 1000


async def refused(buckets: OpenedBuckets, url: str, tenant: str = "one") -> ItemError:
    with pytest.raises(ItemError) as caught:
        await buckets.read(tenant, url, admitted)
    return caught.value


@pytest.mark.parametrize(
    "name", ["a.png", "deep/er/a.png", "a b+c%20d#e?f&g=h.png", "\N{LATIN SMALL LETTER E WITH ACUTE}.png"]
)
async def test_an_image_below_an_opened_prefix_is_read(server: ObjectServer, name: str) -> None:
    root = server.url(uuid.uuid4().hex)
    url = put(f"{root}/photos/{name}", b"image")
    for prefix in (f"{root}/photos", f"{root}/photos/", root, read_bucket(root).root):
        assert await opened(prefix).read("one", url, admitted) == (b"image", "image/png")


async def test_what_is_not_opened_is_forbidden_whether_it_is_there_or_not(server: ObjectServer) -> None:
    root = server.url(uuid.uuid4().hex)
    there = put(f"{root}/photos-of-others/a.png", b"secret")
    buckets = opened(f"{root}/photos")
    said = set()
    for url in (there, f"{root}/photos-of-others/none.png", f"{root}/photos", f"{root}/a", "s3://another-bucket/a"):
        error = await refused(buckets, url)
        assert error.code is ItemErrorCode.FETCH_FORBIDDEN
        assert not error.transient
        said.add(error.message.replace(url, ""))
    assert len(said) == 1
    inside = put(f"{root}/photos/a.png", b"image")
    assert (await refused(buckets, inside, tenant="two")).code is ItemErrorCode.FETCH_FORBIDDEN


@pytest.mark.parametrize(
    "name", ["../photos-of-others/a.png", "./a.png", "a//b.png", "..", "a/..", "/a.png", "a\n.png", "a/"]
)
async def test_a_path_that_leads_elsewhere_is_none(server: ObjectServer, name: str) -> None:
    root = server.url(uuid.uuid4().hex)
    error = await refused(opened(f"{root}/photos"), f"{root}/photos/{name}")
    assert error.code in {ItemErrorCode.FETCH_FAILED, ItemErrorCode.FETCH_FORBIDDEN}


async def test_an_image_that_is_not_there_or_too_large_is_said_to_be(server: ObjectServer) -> None:
    root = server.url(uuid.uuid4().hex)
    buckets = opened(root)
    missing = await refused(buckets, f"{root}/none.png")
    assert (missing.code, missing.transient) == (ItemErrorCode.FETCH_FAILED, False)
    assert "is not there" in missing.message
    large = await refused(buckets, put(f"{root}/large.png", bytes(1001)))
    assert large.code is ItemErrorCode.TOO_LARGE
    assert "1,001 bytes, the limit is 1,000" in large.message


async def test_the_services_own_bucket_is_never_opened_whatever_its_name(server: ObjectServer) -> None:
    prefix = uuid.uuid4().hex
    own = BucketPlace(server.url(prefix))
    own.make_id()
    beside = put(server.url(f"beside-{prefix}/a.png"), b"image")
    assert await opened(server.url("")).read("one", beside, admitted)
    for url in (beside, server.url(f"{prefix}/0/0/a.png"), server.url(f"{prefix}/store-id")):
        error = await refused(opened(read_bucket(server.url("")).root, own=own), url)
        assert error.code is ItemErrorCode.FETCH_FORBIDDEN


async def test_an_alias_of_the_services_own_bucket_is_known_by_the_stores_id(
    seaweed: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in seaweed.environment.items():
        monkeypatch.setenv(name, value)
    prefix = uuid.uuid4().hex
    own = BucketPlace(seaweed.url(prefix))
    store_id = own.make_id()
    put(f"s3://alias-{prefix}/{prefix}/store-id", store_id.encode())
    put(f"s3://other-{prefix}/{prefix}/store-id", str(uuid.uuid4()).encode())
    buckets = opened(f"s3://alias-{prefix}/images", f"s3://other-{prefix}/images", own=own)
    alias, other = (put(f"s3://{bucket}-{prefix}/images/a.png", b"image") for bucket in ("alias", "other"))
    assert (await refused(buckets, alias)).code is ItemErrorCode.FETCH_FORBIDDEN
    assert await buckets.read("one", other, admitted) == (b"image", "image/png")


async def test_an_image_is_written_where_the_tenant_may_write_and_nowhere_else(server: ObjectServer) -> None:
    root = server.url(uuid.uuid4().hex)
    own = BucketPlace(server.url(f"own-{uuid.uuid4().hex}"))
    own.make_id()
    buckets = opened(f"{root}/results")
    for prefix in (f"{root}/results", f"{root}/results/", f"{root}/results/mine"):
        assert buckets.write_problem("one", prefix) is None
        for data in (b"first", b"again"):
            await buckets.write("one", prefix, "batch/0.png", data, "image/png")
        url = f"{prefix.removesuffix('/')}/batch/0.png"
        assert await buckets.read("one", url, admitted) == (b"again", "image/png")
    for prefix in (f"{root}/results-of-others", root, f"{root}/results/../a", "file:///tmp", "results", "s3://other"):
        assert buckets.write_problem("one", prefix)
        with pytest.raises(ItemError, match="output_prefix") as caught:
            await buckets.write("one", prefix, "batch/0.png", b"x", "image/png")
        assert (caught.value.code, caught.value.transient) == (ItemErrorCode.PROVIDER_ERROR, False)
    assert buckets.write_problem("two", f"{root}/results")
    with pytest.raises(ItemError, match="not open to your tenant"):
        await opened(root, own=own).write("one", f"{root}/results", "batch/0.png", b"x", "image/png")


async def test_many_ask_for_a_bucket_at_once(server: ObjectServer) -> None:
    root = server.url(uuid.uuid4().hex)
    url, buckets = put(f"{root}/a.png", b"image"), opened(root)
    assert set(await asyncio.gather(*(buckets.read("one", url, admitted) for _ in range(50)))) == {
        (b"image", "image/png")
    }
