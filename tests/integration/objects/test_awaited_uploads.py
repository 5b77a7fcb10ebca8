"""Uploads that are promised first: what a server that died between blob and row leaves, and what nobody fills."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.integration.batches.core import core

from imagebatch_server.batches.awaited_uploads import AwaitedUploads, UploadedAlready
from imagebatch_server.batches.errors import InvalidRequest, ObjectNotFound
from imagebatch_server.batches.model import UploadUrl

DATA = b"an image, as far as anybody knows"
LATER = datetime(2100, 1, 1, tzinfo=UTC)


class Urls:
    def upload_url(self, tenant: str, object_key: str, content_type: str, size_bytes: int) -> UploadUrl:
        return UploadUrl(f"https://a/{tenant}/{object_key}", {}, LATER)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_place_is_filled_once_and_found_then(tmp_path: Path) -> None:
    async with core(tmp_path) as made:
        uploads = AwaitedUploads(made.blobs, made.objects, Urls(), max_image_bytes=1_000)
        promised, _ = await uploads.promise("default", "image/png", "a.png", len(DATA))
        with pytest.raises(ObjectNotFound):
            await made.objects.get("default", promised.object_key)
        assert await made.objects.keys("", 10) == [], "its blob is not missing"
        assert await made.objects.digests("default", [promised.object_key]) == {}
        with pytest.raises(ObjectNotFound):
            await uploads.fill("other", promised.object_key, chunks(DATA))
        for wrong in (chunks(DATA, b"more"), chunks(DATA[:-1])):
            with pytest.raises(InvalidRequest):
                await uploads.fill("default", promised.object_key, wrong)
        filled = await uploads.fill("default", promised.object_key, chunks(DATA[:5], DATA[5:]))
        assert await made.objects.get("default", promised.object_key) == filled
        with pytest.raises(UploadedAlready):
            await uploads.fill("default", promised.object_key, chunks(DATA))


async def test_a_repeat_goes_on_where_a_server_died(tmp_path: Path) -> None:
    async with core(tmp_path) as made:
        uploads = AwaitedUploads(made.blobs, made.objects, Urls(), max_image_bytes=1_000)
        promised, _ = await uploads.promise("default", "image/png", "a.png", len(DATA))
        async with made.blobs.writer(promised.object_key, "image/png") as blob:
            await blob.write(DATA)
        with pytest.raises(UploadedAlready):
            await uploads.fill("default", promised.object_key, chunks(DATA[::-1]))
        filled = await uploads.fill("default", promised.object_key, chunks(DATA))
        assert await made.objects.get("default", promised.object_key) == filled


async def test_a_place_that_nobody_fills_is_swept(tmp_path: Path) -> None:
    async with core(tmp_path) as made:
        old = datetime.now(UTC) - timedelta(days=2)
        uploads = AwaitedUploads(made.blobs, made.objects, Urls(), max_image_bytes=1_000, now=lambda: old)
        promised, _ = await uploads.promise("default", "image/png", "a.png", len(DATA))
        await made.sweeper.sweep()
        with pytest.raises(ObjectNotFound):
            await uploads.fill("default", promised.object_key, chunks(DATA))
