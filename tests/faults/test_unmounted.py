"""The folder of images gone under a running server, or another one in its place, as when a disk is unmounted."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.conftest import Tell
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.faults.trouble import answers, assert_unavailable, live_through
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.server import ServerProcess, running_server

pytestmark = pytest.mark.timeout(600)

GONE_S = 5.0
NEED_IMAGES = {"SubmitBatch with base64", "UploadImage", "DownloadImage"}


def vanish(objects: Path, away: Path) -> None:
    """Leave nothing where the folder was."""
    objects.rename(away)


def become_another(objects: Path, away: Path) -> None:
    """Leave an empty folder, as a mount point is without its disk."""
    objects.rename(away)
    objects.mkdir()


def come_back(objects: Path, away: Path) -> None:
    """Mount it again."""
    if objects.exists():
        shutil.rmtree(objects)
    away.rename(objects)


@pytest.fixture
def server(store: Store) -> Iterator[ServerProcess]:
    with running_server(store.data_dir, {"stop_grace_s": "2", **store.settings}, operations=OPERATIONS) as running:
        yield running


@pytest.mark.parametrize("goes", [vanish, become_another])
def test_work_goes_on_after_the_images_were_away(
    store: Store, server: ServerProcess, tmp_path: Path, seed: int, tell: Tell, goes: Callable[[Path, Path], None]
) -> None:
    objects, away = store.data_dir / "objects", tmp_path / "away"

    async def trouble() -> None:
        goes(objects, away)
        await asyncio.sleep(GONE_S)
        come_back(objects, away)

    tell(f"the folder of images was away for {GONE_S:g} s")
    live_through([trouble], [server], store, tmp_path, seed, tell)
    assert store.blob_defects() == []


@pytest.mark.parametrize("goes", [vanish, become_another])
def test_what_is_answered_while_the_images_are_away(
    store: Store, server: ServerProcess, tmp_path: Path, tell: Tell, goes: Callable[[Path, Path], None]
) -> None:
    objects, away = store.data_dir / "objects", tmp_path / "away"
    raw = Raw(server.address)
    picture = raw.upload(pictures.drawn()).object_key
    batch_id = raw.submit([item(object_key=picture)]).batch_id
    raw.watch_to_end(batch_id)
    goes(objects, away)
    got = answers(raw, batch_id, picture)
    messages = {assert_unavailable(got[name]) for name in NEED_IMAGES}
    others = [name for name, answer in got.items() if answer and name not in {*NEED_IMAGES, "DeleteBatch"}]
    assert others == [], "what needs no image is answered"
    come_back(objects, away)
    assert [name for name, answer in answers(raw, batch_id, picture).items() if answer] == [
        "DeleteBatch"
    ]  # of no batch
    raw.close()
    tell(f"{sorted(NEED_IMAGES)}: {sorted(messages)}")
