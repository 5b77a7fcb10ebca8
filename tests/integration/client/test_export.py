"""Exports by both clients and the command line, from a scripted server: what they ask for, how they end and go on."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.client.scripted import BATCH_ID, Attempt, ScriptedServer, outcome, status
from tests.integration.client.terminal import interrupted, run, started

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2
from imagebatch_client import AsyncBatchClient, BatchClient, BatchExport, BatchNotFoundError, InvalidRequestError
from imagebatch_client.export import export as core

Connect = Callable[..., Any]
Serve = Callable[..., ScriptedServer]

JPEG = b"\xff\xd8\xff picture"


def batch(total: int) -> Attempt:
    return Attempt([status(total=total)])


def operations() -> Attempt:
    operation = batch_service_pb2.Operation(name="describe", version="1")
    operation.output_schema.update({"type": "object", "properties": {"description": {"type": "string"}}})
    return Attempt([batch_service_pb2.ListOperationsResponse(operations=[operation])])


def pages_of(total: int, at_most: int = 1000) -> Callable[[Any], list[types_pb2.BatchResults]]:
    """Answer pages of a batch; of this many items at most, as the server does where items are large."""

    def answer(request: batch_service_pb2.GetBatchResultsRequest) -> list[types_pb2.BatchResults]:
        end = min(request.offset + min(request.limit, at_most), total)
        results = [outcome(index + 1) for index in range(request.offset, end)]
        pagination = types_pb2.BatchResultsPagination(
            offset=request.offset, limit=request.limit, total=total, has_more=end < total
        )
        return [types_pb2.BatchResults(
            batch_id=BATCH_ID, status=types_pb2.BATCH_STATUS_COMPLETED, results=results, pagination=pagination
        )]  # fmt: skip

    return answer


def serving(serve: Serve, total: int, *, pages: int = 50, at_most: int = 1000, **more: Any) -> ScriptedServer:
    """Script a batch, of which so many pages are answered, and the next one is not."""
    answers = [Attempt(pages_of(total, at_most))] * pages + [Attempt(hangs=True)]
    return serve(GetBatchStatus=[batch(total)] * 4, ListOperations=[operations()] * 4, GetBatchResults=answers, **more)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".html"])
def test_all_items_in_pages(connect: Connect, serve: Serve, tmp_path: Path, suffix: str) -> None:
    server = serving(serve, 250, at_most=70)
    path, seen = tmp_path / f"out{suffix}", list[BatchExport]()
    done = connect(server).export(BATCH_ID, path, on_export=seen.append)
    assert done == seen[-1] == BatchExport(str(path), 250, 250, 0)
    assert [progress.items for progress in seen] == [70, 140, 210, 250]
    assert [request.offset for request in server.requests["GetBatchResults"]] == [0, 70, 140, 210]
    assert path.read_text(encoding="utf-8").count("picture ") >= 250
    assert list(tmp_path.iterdir()) == [path]


def test_json_lines_are_what_results_prints(serve: Serve, tmp_path: Path) -> None:
    hostile = outcome(1)
    hostile.output_data.fields["description"].string_value = "räksmörgås \x1b[2J \u202e\n=1"
    page = types_pb2.BatchResults(
        status=types_pb2.BATCH_STATUS_COMPLETED,
        results=[hostile],
        pagination=types_pb2.BatchResultsPagination(total=1),
    )
    server = serve(GetBatchStatus=[batch(1)], ListOperations=[operations()], GetBatchResults=[Attempt([page])] * 2)
    printed = run(server, "results", BATCH_ID, "--json").stdout
    assert run(server, "export", BATCH_ID, "-o", tmp_path / "out.jsonl").exit_code == 0
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == printed


def stored(key: str, content: bytes) -> Attempt:
    digest = hashlib.sha256(content).hexdigest()
    header = image_service_pb2.DownloadImageHeader(size_bytes=len(content), sha256=digest)
    chunk = image_service_pb2.DownloadImageResponse(chunk=content)
    return Attempt([image_service_pb2.DownloadImageResponse(header=header), chunk])


def test_a_page_has_the_stored_images(connect: Connect, serve: Serve, tmp_path: Path) -> None:
    results = [outcome(sequence) for sequence in (1, 2, 3, 4)]
    for result in results[:3]:
        result.stored_object_key = f"key-{result.item_index}"
    page = types_pb2.BatchResults(
        status=types_pb2.BATCH_STATUS_COMPLETED,
        results=results,
        pagination=types_pb2.BatchResultsPagination(total=4),
    )
    swept = Attempt(code=grpc.StatusCode.NOT_FOUND, reason="OBJECT_NOT_FOUND")
    server = serve(
        GetBatchStatus=[batch(4)], ListOperations=[operations()], GetBatchResults=[Attempt([page])],
        DownloadImage=[stored("key-0", JPEG), stored("key-1", JPEG + bytes(1024 * 1024)), swept],
    )  # fmt: skip
    connect(server).export(BATCH_ID, tmp_path / "out.html")
    text = (tmp_path / "out.html").read_text()
    assert text.count("<article") == 4
    assert text.count("<img") == text.count("data:image/jpeg;base64,/9j/IHBpY3R1cmU=") == 1
    assert [request.object_key for request in server.requests["DownloadImage"]] == ["key-0", "key-1", "key-2"]


def test_a_batch_that_is_not_there_leaves_nothing(connect: Connect, serve: Serve, tmp_path: Path) -> None:
    gone = Attempt(code=grpc.StatusCode.NOT_FOUND, reason="BATCH_NOT_FOUND")
    with pytest.raises(BatchNotFoundError):
        connect(serve(GetBatchStatus=[gone])).export(BATCH_ID, tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [{"replace": 1}, {"on_export": 3}, {"path": 3}], ids=str)
def test_arguments_of_the_wrong_kind(connect: Connect, serve: Serve, tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match=next(iter(given))):
        connect(serve()).export(BATCH_ID, **{"path": tmp_path / "out.csv"} | given)


def test_an_export_that_failed_goes_on(
    connect: Connect, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "_SAVED_ITEMS", 40)
    lost = Attempt(code=grpc.StatusCode.INTERNAL, reason="INTERNAL")
    page = Attempt(pages_of(100, 30))
    server = serve(
        GetBatchStatus=[batch(100)], ListOperations=[operations()], GetBatchResults=[page, page, lost, page, page]
    )
    client, path = connect(server), tmp_path / "out.jsonl"
    with pytest.raises(Exception, match="as scripted"):
        client.export(BATCH_ID, path)
    assert not path.exists()
    client.export(BATCH_ID, path)
    assert [json.loads(line)["item_index"] for line in path.read_text().splitlines()] == list(range(100))
    assert [request.offset for request in server.requests["GetBatchResults"]] == [0, 30, 60, 60, 90]


def test_a_batch_exports_itself(serve: Serve, tmp_path: Path) -> None:
    with BatchClient(serving(serve, 3).address) as client:
        assert client.batch(BATCH_ID).export(tmp_path / "out.csv").items == 3


async def test_an_asynchronous_batch_exports_itself(serve: Serve, tmp_path: Path) -> None:
    async with AsyncBatchClient(serving(serve, 3).address) as client:
        assert (await client.batch(BATCH_ID).export(tmp_path / "out.csv")).items == 3


def under_way(server: ScriptedServer, requests: int, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start an export, and wait until it has asked for so many pages."""
    process = started(server, "export", BATCH_ID, "-o", *arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    while len(server.requests["GetBatchResults"]) < requests:
        server.began.clear()
        server.began.wait(1)
    return process


def test_ctrl_c_says_how_to_go_on(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    process = under_way(serving(serve, 15_000, pages=11), 12, path)
    assert interrupted(process) == "Stopped after 11,000 of 15,000 items; repeat the command, and it goes on.\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.jsonl.part"]
    server = serving(serve, 15_000)
    assert run(server, "export", BATCH_ID, "-o", path).stderr == f"Wrote 15,000 items to {path}.\n"
    assert server.requests["GetBatchResults"][0].offset == 10_000
    assert [json.loads(line)["item_index"] for line in path.read_text().splitlines()] == list(range(15_000))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_killed_half_way_it_goes_on(serve: Serve, tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    assert run(serving(serve, 15_000), "export", BATCH_ID, "-o", whole).exit_code == 0
    process = under_way(serving(serve, 15_000, pages=11), 12, path)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not path.exists()
    server = serving(serve, 15_000)
    assert run(server, "export", BATCH_ID, "-o", path).exit_code == 0
    assert server.requests["GetBatchResults"][0].offset == 10_000
    assert path.read_bytes() == whole.read_bytes()


def test_the_command_line_says_what_was_wrong(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("mine")
    told = {
        "out.xlsx": "ends in none of .parquet, .csv, .jsonl, .html, which say the format",
        "there.csv": "is there already; give another name, or replace it by replace=True (--force of the command line)",
        "out.html": "a page of HTML has at most 10,000 items, and this batch has 10,001",
    }
    for name, text in told.items():
        result = run(serving(serve, 10_001), "export", BATCH_ID, "-o", tmp_path / name)
        assert result.exit_code == 2
        assert result.stderr.startswith("imagebatch: --output: ")
        assert text in result.stderr
    assert run(serving(serve, 2), "export", BATCH_ID, "-o", tmp_path / "there.csv", "--force").exit_code == 0


def test_items_that_are_not_done_are_told(serve: Serve, tmp_path: Path) -> None:
    page = types_pb2.BatchResults(
        status=types_pb2.BATCH_STATUS_PROCESSING,
        results=[types_pb2.BatchItemResult(item_id="a", status=types_pb2.BATCH_ITEM_STATUS_PENDING)],
        pagination=types_pb2.BatchResultsPagination(total=1),
    )
    server = serve(GetBatchStatus=[batch(1)], ListOperations=[operations()], GetBatchResults=[Attempt([page])])
    result = run(server, "export", BATCH_ID, "-o", tmp_path / "out.csv")
    assert result.stderr == (
        f"Wrote 1 item to {tmp_path / 'out.csv'}.\n"
        "1 item was not done when read; export again for the rest, with --force.\n"
    )


def test_a_full_disk_is_no_wrong_usage(serve: Serve, tmp_path: Path) -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from imagebatch_command import main; main()"
    )
    server = serving(serve, 1000)
    done = subprocess.run(
        [sys.executable, "-c", code, "--address", server.address, "export", BATCH_ID, "-o", str(tmp_path / "out.csv")],
        env=os.environ | {"IMAGEBATCH_CONFIG": os.devnull}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1,
        f"imagebatch: {tmp_path / 'out.csv'} can't be written: File too large\n",
    )
