"""What the sweeper removes, sets aside and leaves alone, on real files and rows."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.integration.batches.core import Core, core
from tests.integration.ports.values import stored

from imagebatch_server.batches.errors import ObjectNotFound, StoreUnavailable
from imagebatch_server.batches.model import BlobName
from imagebatch_server.batches.ports.objects import NewBlob
from imagebatch_server.batches.sweeper import Sweeper

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Core]:
    async with core(tmp_path) as running:
        yield running


def sweeper(made: Core, *, later: timedelta = timedelta(), max_share: float = 1.0) -> Sweeper:
    """One that works so much later, and keeps blobs aside for a week."""
    return Sweeper(made.objects, made.blobs, quarantine=7 * DAY, max_share=max_share, now=lambda: NOW + later)


async def put(made: Core, count: int, *, known: bool) -> list[str]:
    """Blobs of two days ago."""
    keys = [made.blobs.new_key("default") for _ in range(count)]
    await made.blobs.put_many([NewBlob(key, b"image", "") for key in keys])
    for key in keys:
        old = (NOW - 2 * DAY).timestamp()
        os.utime(made.blobs._path(key), (old, old))
        if known:
            await made.objects.add(stored(key, tenant="default", created_at=NOW))
    return keys


async def is_there(made: Core, key: str) -> bool:
    try:
        return b"".join([chunk async for chunk in made.blobs.read(BlobName("default", key))]) == b"image"
    except ObjectNotFound:
        return False


async def test_an_unknown_blob_is_set_aside_and_removed_after_its_time(made: Core) -> None:
    (known,), (unknown,) = await put(made, 1, known=True), await put(made, 1, known=False)
    at_work = sweeper(made)
    with capture_logs() as logs:
        await at_work.sweep()
    assert [line["event"] for line in logs] == ["sweeper.blobs_quarantined"]
    assert (await is_there(made, known), await is_there(made, unknown)) == (True, False)
    assert at_work.quarantined == 1
    aside = [blob.key async for part in made.blobs.quarantined() for blob in part]
    assert aside == [unknown]
    at_work = sweeper(made, later=6 * DAY)
    await at_work.sweep()
    assert at_work.quarantined == 1
    at_work = sweeper(made, later=8 * DAY)
    await at_work.sweep()
    assert at_work.quarantined == 0
    assert [blob async for part in made.blobs.quarantined() for blob in part] == []


async def test_a_young_unknown_blob_is_left_to_its_submit(made: Core) -> None:
    key = made.blobs.new_key("default")
    await made.blobs.put_many([NewBlob(key, b"image", "")])
    await sweeper(made).sweep()
    assert await is_there(made, key)


async def test_a_blob_that_the_database_knows_again_is_put_back(made: Core) -> None:
    (key,) = await put(made, 1, known=False)
    await sweeper(made).sweep()
    assert not await is_there(made, key)
    await made.objects.add(stored(key, tenant="default", created_at=NOW))
    at_work = sweeper(made, later=30 * DAY)
    with capture_logs() as logs:
        await at_work.review_quarantine()
    assert [line["event"] for line in logs] == ["sweeper.blobs_put_back"]
    assert await is_there(made, key)
    assert at_work.quarantined == 0


async def test_above_the_share_nothing_is_set_aside_and_that_is_said_once(made: Core) -> None:
    known, unknown = await put(made, 20, known=True), await put(made, 20, known=False)
    at_work = sweeper(made, max_share=0.4)
    with capture_logs() as logs:
        await at_work.sweep()
        await at_work.sweep()
    assert [(line["event"], line["unknown"], line["blobs"]) for line in logs] == [("sweeper.refused", 20, 40)]
    assert (at_work.refused, at_work.quarantined) == (20, 0)
    assert all([await is_there(made, key) for key in known + unknown])
    at_work = sweeper(made, max_share=0.6)
    await at_work.sweep()
    assert (at_work.refused, at_work.quarantined) == (0, 20)


async def test_missing_blobs_are_counted_until_they_are_back(made: Core) -> None:
    keys = await put(made, 3, known=True)
    path = made.blobs._path(keys[1])
    path.rename(path.with_suffix(".away"))
    at_work = sweeper(made)
    with capture_logs() as logs:
        await at_work.sweep()
        await at_work.sweep()
    assert [(line["event"], line["blobs"]) for line in logs] == [("sweeper.blobs_missing", 1)]
    assert at_work.missing == 1
    path.with_suffix(".away").rename(path)
    await at_work.sweep()
    assert at_work.missing == 0


async def test_a_blob_without_its_row_goes_when_the_store_is_back(made: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    (key,) = await put(made, 1, known=True)
    at_work = sweeper(made, later=2 * DAY)
    with monkeypatch.context() as away:
        away.setattr(made.blobs, "_delete", refuse)
        with pytest.raises(StoreUnavailable):
            await at_work.sweep()
    assert await is_there(made, key)
    with pytest.raises(ObjectNotFound):
        await made.objects.get("default", key)
    assert list(await made.objects.removed(10)) == [key]
    restarted = sweeper(made)  # the blob is found by what the row left, not by its age
    await restarted.sweep()
    assert not await is_there(made, key)
    assert (list(await made.objects.removed(10)), restarted.quarantined) == ([], 0)


def refuse(keys: Sequence[str]) -> None:
    raise StoreUnavailable("gone")


async def test_a_folder_that_is_not_mounted_is_no_folder_without_blobs(made: Core, tmp_path: Path) -> None:
    (key,) = await put(made, 1, known=True)
    folder = tmp_path / "objects"
    folder.rename(tmp_path / "unmounted")
    folder.mkdir()
    with pytest.raises(StoreUnavailable, match="mount it again"):
        await is_there(made, key)
    with pytest.raises(StoreUnavailable):
        await made.blobs.missing([key])
    folder.rmdir()
    (tmp_path / "unmounted").rename(folder)
    assert await is_there(made, key)
