"""The command line's downloads: under which names, what is written over, and how a repeat goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.client.scripted import (
    BATCH_ID,
    Attempt,
    ScriptedServer,
    outcome,
)
from tests.integration.client.terminal import run

from imagebatch.v1 import image_service_pb2, types_pb2

Serve = Callable[..., ScriptedServer]

IDS = [f"01931c0e-7d2a-7cc3-98c4-dc0c0c0739{digits}" for digits in ("80", "81", "8f")]


def test_a_batch_is_not_downloaded_to_standard_output(serve: Serve) -> None:
    result = run(serve(), "download", "--batch", BATCH_ID, "-o", "-")
    told = "imagebatch: --output: standard output takes one image; give a folder with --batch\n"
    assert (result.exit_code, result.stderr) == (2, told)


def test_a_full_disk_is_no_wrong_usage(serve: Serve) -> None:
    result = run(serve(DownloadImage=[stored("a.jpg")]), "download", "key", "-o", "/dev/full")
    told = "imagebatch: /dev/full can't be written: No space left on device\n"
    assert (result.exit_code, result.stderr) == (1, told)


def stored(name: str, content: bytes = b"abc", content_type: str = "") -> Attempt:
    header = image_service_pb2.DownloadImageHeader(
        file_name=name, content_type=content_type, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
    )
    return Attempt(
        [image_service_pb2.DownloadImageResponse(header=header), image_service_pb2.DownloadImageResponse(chunk=content)]
    )


@pytest.mark.parametrize(
    ("given", "content_type", "written"),
    [
        (".bashrc", "", "bashrc.bin"),
        ("-rf", "image/png", "rf.png"),
        ("--output=x.jpg", "", "output_x.jpg"),
        ("\x1b[2J\x9b.jpg", "", "2J.jpg"),
        ("a\u202egpj.exe", "image/jpeg", "a_gpj.jpg"),
        ("../../etc/cron.d/x", "", "x.bin"),
        ("..\\..\\evil.jpg", "", "evil.jpg"),
        ("conftest.py", "image/webp", "conftest.webp"),
        ("", "", "image.bin"),
        ("..", "image/jpeg", "image.jpg"),
        ("räksmörgås 1.JPG", "", "räksmörgås_1.jpg"),
        ("x" * 300 + ".png", "", "x" * 100 + ".png"),
    ],
)
def test_a_download_is_never_written_under_the_name_that_others_gave(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, content_type: str, written: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(serve(DownloadImage=[stored(given, content_type=content_type)]), "download", "k1")
    assert result.exit_code == 0, result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [written]
    assert result.stderr == f"Wrote 3 bytes to {written}.\n"


def page_of(keys: list[str]) -> Attempt:
    results = [outcome(index + 1) for index in range(len(keys))]
    for result, key in zip(results, keys, strict=True):
        result.item_id = f"photos/{result.item_index}.png"
        if key:
            result.stored_object_key = key
    pagination = types_pb2.BatchResultsPagination(total=len(keys))
    page = types_pb2.BatchResults(status=types_pb2.BATCH_STATUS_COMPLETED, results=results, pagination=pagination)
    return Attempt([page])


def test_all_that_a_batch_stored_is_downloaded_and_a_repeat_goes_on(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def answer(request: image_service_pb2.DownloadImageRequest) -> Any:
        return stored("t.webp", request.object_key.encode()).answers

    keys = ["k0", "", "k2", "k3"]
    first = serve(GetBatchResults=[page_of(keys)], DownloadImage=[Attempt(answer)] * 3)
    result = run(first, "download", "--batch", BATCH_ID, "-o", folder)
    assert result.stderr == f"Wrote 3 images to {folder}; 0 were there already.\n"
    assert {path.name: path.read_text() for path in folder.glob("[!.]*")} == {
        "0-0.webp": "k0",
        "2-2.webp": "k2",
        "3-3.webp": "k3",
    }
    (folder / "2-2.webp").rename(folder / "2-2.webp.part")  # as a download that was cut leaves it
    again = serve(GetBatchResults=[page_of(keys)], DownloadImage=[Attempt(answer)])
    assert "Wrote 1 image to" in run(again, "download", "--batch", BATCH_ID, "-o", folder).stderr
    assert sorted(path.name for path in folder.glob("[!.]*")) == ["0-0.webp", "2-2.webp", "3-3.webp"]


def test_a_folder_has_one_batchs_images(serve: Serve, tmp_path: Path) -> None:
    pages = [page_of(["k0"]) for _ in range(4)]
    server = serve(GetBatchResults=pages, DownloadImage=[stored("t.webp", content) for content in (b"1", b"2", b"3")])
    assert run(server, "download", "--batch", IDS[0], "-o", tmp_path).exit_code == 0
    other = run(server, "download", "--batch", IDS[1], "-o", tmp_path)
    told = f"--output: {tmp_path} has images of batch {IDS[0]}; give another folder, or --force"
    assert (other.exit_code, other.stderr) == (2, f"imagebatch: {told}\n")
    assert (tmp_path / "0-0.webp").read_bytes() == b"1"
    assert run(server, "download", "--batch", IDS[1], "-o", tmp_path, "--force").exit_code == 0
    assert (tmp_path / "0-0.webp").read_bytes() == b"2"
    again = run(server, "download", "--batch", IDS[1], "-o", tmp_path)
    assert again.stderr == f"Wrote 0 images to {tmp_path}; 1 were there already.\n"


def test_what_a_batch_has_no_image_of_is_told(serve: Serve, tmp_path: Path) -> None:
    page = page_of(["k0", "", "", "", ""])
    results: Any = page.answers[0].results  # type: ignore[index, union-attr]
    for result, name in zip(results[1:], ("FAILED", "FAILED", "SKIPPED", "PENDING"), strict=True):
        result.status = types_pb2.BatchItemStatus.Value(f"BATCH_ITEM_STATUS_{name}")
    result = run(
        serve(GetBatchResults=[page], DownloadImage=[stored("t.webp")]), "download", "--batch", BATCH_ID, "-o", tmp_path
    )
    assert result.stderr.splitlines() == [
        f"Wrote 1 image to {tmp_path}; 0 were there already.",
        f"2 items failed: imagebatch results {BATCH_ID} --failed-only",
        "1 item was skipped.",
        "1 item is not done yet; repeat the command for the rest.",
    ]


def test_a_file_is_written_over_only_when_that_is_said(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "mine.jpg"
    path.write_bytes(b"precious")
    server = serve(DownloadImage=[stored("a.jpg"), stored("b.jpg")])
    refused = run(server, "download", "key", "-o", path)
    told = f"imagebatch: --output: {path} is there already; give another name, or --force\n"
    assert (refused.exit_code, refused.stderr) == (2, told)
    assert path.read_bytes() == b"precious"
    assert server.requests["DownloadImage"] == []  # it is told before anything is sent for
    assert run(server, "download", "key", "-o", path, "--force").exit_code == 0
    assert path.read_bytes() == b"abc"
    assert run(server, "download", "key", "-o", tmp_path).exit_code == 0
    assert (tmp_path / "b.jpg").read_bytes() == b"abc"
    assert not list(tmp_path.glob("*.part"))


def test_a_batch_without_images_says_so(serve: Serve, tmp_path: Path) -> None:
    result = run(serve(GetBatchResults=[page_of(["", ""])]), "download", "--batch", BATCH_ID, "-o", tmp_path)
    assert result.exit_code == 2
    assert "has stored no image" in result.stderr
