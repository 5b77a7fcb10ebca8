"""The command line against a scripted server: what it prints where, and how it exits."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.client.scripted import (
    BATCH_ID,
    Attempt,
    ScriptedServer,
    outcome,
    status,
    unavailable,
    watch_from,
)
from tests.integration.client.terminal import all_shown, interrupted, run, started

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2

Serve = Callable[..., ScriptedServer]

DESCRIBE = Attempt(
    [batch_service_pb2.ListOperationsResponse(operations=[batch_service_pb2.Operation(name="describe", version="1")])]
)
INFO = Attempt([batch_service_pb2.GetServerInfoResponse(limits=batch_service_pb2.ServerLimits(max_image_bytes=1000))])
SUBMITTED = Attempt(
    [types_pb2.BatchSubmissionResult(batch_id=BATCH_ID, status=types_pb2.BATCH_STATUS_PENDING, total_items=2)]
)


def uploaded(key: str) -> Attempt:
    return Attempt([image_service_pb2.UploadImageResponse(object_key=key)])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a cat.jpg", "dog.png"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_submit_uploads_files_and_sends_what_was_typed(serve: Serve, photos: Path) -> None:
    server = serve(
        ListOperations=[DESCRIBE],
        GetServerInfo=[INFO],
        UploadImage=[uploaded("k"), uploaded("k")],
        SubmitBatch=[SUBMITTED],
    )
    chosen = ["--param", "size=3", "--label", "run=1", "--priority", "7", "--item-timeout", "2.5", "--request-id", "r1"]
    result = run(server, "submit", photos, "https://example.com/x.jpg", "-o", "describe", *chosen)
    assert (result.stdout, result.exit_code) == (f"{BATCH_ID}\n", 0)
    assert f"imagebatch watch {BATCH_ID}" in result.stderr
    (request,) = server.requests["SubmitBatch"]
    cat, dog, url = request.items
    assert (cat.item_id, dog.item_id, url.image_url) == ("a_cat.jpg", "dog.png", "https://example.com/x.jpg")
    assert cat.metadata.fields["file_name"].string_value == "a cat.jpg"
    assert (cat.object_key, url.HasField("item_id"), url.HasField("metadata")) == ("k", False, False)
    assert (request.options.request_id, request.options.priority) == ("r1", 7)
    assert dict(request.options.labels) == {"run": "1"}
    assert request.options.parameters.fields["size"].number_value == 3
    assert request.options.item_timeout.ToMilliseconds() == 2500
    sent = {b"".join(message.chunk for message in messages) for messages in server.requests["UploadImage"]}
    assert sent == {b"a cat.jpg", b"dog.png"}


def test_keys_stay_with_their_files_however_uploads_overtake_each_other(serve: Serve, tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}.jpg").write_bytes(f"{number:02}".encode())

    def answer(messages: list[image_service_pb2.UploadImageRequest]) -> list[image_service_pb2.UploadImageResponse]:
        return [image_service_pb2.UploadImageResponse(object_key=f"key-{messages[1].chunk.decode()}")]

    server = serve(
        ListOperations=[DESCRIBE], GetServerInfo=[INFO], UploadImage=[Attempt(answer)] * 40, SubmitBatch=[SUBMITTED]
    )
    assert run(server, "submit", tmp_path, "-o", "describe").exit_code == 0
    (request,) = server.requests["SubmitBatch"]
    assert [(item.item_id, item.object_key) for item in request.items] == [
        (f"{number:02}.jpg", f"key-{number:02}") for number in range(40)
    ]


def test_nothing_is_uploaded_if_a_file_is_too_large(serve: Serve, photos: Path) -> None:
    (photos / "dog.png").write_bytes(bytes(1001))
    (photos / "elk.png").write_bytes(bytes(2000))
    server = serve(ListOperations=[DESCRIBE], GetServerInfo=[INFO])
    result = run(server, "submit", photos, "-o", "describe")
    assert result.exit_code == 2
    assert "dog.png has 1,001 bytes; the server takes 1,000: make it smaller" in result.stderr
    assert "elk.png has 2,000 bytes" in result.stderr
    assert server.requests["UploadImage"] == []


def test_nothing_is_uploaded_for_an_unknown_operation(serve: Serve, photos: Path) -> None:
    server = serve(ListOperations=[DESCRIBE])
    result = run(server, "submit", photos, "-o", "descibe")
    assert (result.exit_code, server.requests["UploadImage"]) == (2, [])
    assert result.stderr == "imagebatch: --operation: 'descibe' is unknown to the server; it offers describe\n"


def test_an_upload_that_fails_names_its_file_and_submits_nothing(serve: Serve, photos: Path) -> None:
    refusal = Attempt(code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="LIMIT_EXCEEDED", message="the disk is full")
    server = serve(ListOperations=[DESCRIBE], GetServerInfo=[INFO], UploadImage=[refusal, refusal])
    result = run(server, "submit", photos, "-o", "describe")
    assert result.exit_code == 2
    assert re.fullmatch(r"imagebatch: .*(a cat\.jpg|dog\.png): the disk is full\n", result.stderr)
    assert server.requests["SubmitBatch"] == []


def test_all_violations_are_told_one_a_line(serve: Serve) -> None:
    refusal = Attempt(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="INVALID_REQUEST",
        message="options.priority: too high (2 violations in all)",
        violations=[("options.priority", "too high"), ("items[0].image_url", "too long")],
    )
    result = run(
        serve(ListOperations=[DESCRIBE], SubmitBatch=[refusal]), "submit", "http://x.example/a.jpg", "-o", "describe"
    )
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "imagebatch: options.priority: too high (2 violations in all)",
        "  options.priority: too high",
        "  items[0].image_url: too long",
    ]


def test_a_submit_that_may_have_arrived_tells_how_to_repeat_it(serve: Serve) -> None:
    server = serve(ListOperations=[DESCRIBE], SubmitBatch=[unavailable(retry_after_s=100)])
    result = run(server, "submit", "http://x.example/a.jpg", "-o", "describe")
    request_id = server.requests["SubmitBatch"][0].options.request_id
    assert result.exit_code == 3
    assert f"Repeat with --request-id {request_id}" in result.stderr


def test_submit_and_watch(serve: Serve) -> None:
    server = serve(
        ListOperations=[DESCRIBE],
        SubmitBatch=[SUBMITTED],
        GetBatchStatus=[Attempt([status(value="PROCESSING")])],
        WatchBatch=[Attempt(watch_from(2))],
    )
    result = run(server, "submit", "http://x.example/a.jpg", "-o", "describe", "--watch")
    assert result.stdout.splitlines() == ["success  item-1  picture 1", "success  item-2  picture 2"]
    assert result.stderr.splitlines() == [
        f"Batch {BATCH_ID}: 2 items.",
        f"Batch {BATCH_ID} completed: 2 succeeded, 0 failed.",
    ]
    assert result.exit_code == 0


@pytest.mark.parametrize(("value", "code"), [("FAILED", 1), ("PARTIALLY_COMPLETED", 1), ("CANCELLED", 4)])
def test_a_watch_exits_by_how_the_batch_ended(serve: Serve, value: str, code: int) -> None:
    end = batch_service_pb2.WatchBatchResponse(status=status(value=value))
    server = serve(GetBatchStatus=[Attempt([status(value="PROCESSING")])], WatchBatch=[Attempt([end])])
    assert run(server, "watch", BATCH_ID).exit_code == code


def test_a_watch_as_json_prints_items_alone(serve: Serve) -> None:
    server = serve(GetBatchStatus=[Attempt([status(value="PROCESSING")])], WatchBatch=[Attempt(watch_from(3))])
    result = run(server, "watch", BATCH_ID, "--json", "--after-sequence", "1", "--status", "success")
    assert [json.loads(line)["sequence"] for line in result.stdout.splitlines()] == [2, 3]
    assert list(server.requests["WatchBatch"][0].statuses) == [types_pb2.BATCH_ITEM_STATUS_SUCCESS]


def test_a_wrong_batch_is_told_at_once(serve: Serve) -> None:
    missing = Attempt(
        code=grpc.StatusCode.NOT_FOUND, reason="BATCH_NOT_FOUND", message=f"batch {BATCH_ID} does not exist"
    )
    result = run(serve(GetBatchStatus=[missing]), "watch", BATCH_ID)
    assert (result.exit_code, result.stderr) == (2, f"imagebatch: batch {BATCH_ID} does not exist\n")


def test_no_server_is_a_message_and_not_a_traceback(serve: Serve) -> None:
    server = serve()
    server.stop()
    result = run(server, "status", BATCH_ID)
    assert result.exit_code == 3
    assert result.stderr.startswith(f"imagebatch: no server answers at {server.address}")
    assert result.stderr.count("\n") == 1


def page(indexes: range, total: int, offset: int) -> Attempt:
    return Attempt(
        [
            types_pb2.BatchResults(
                batch_id=BATCH_ID,
                status=types_pb2.BATCH_STATUS_COMPLETED,
                results=[outcome(index + 1) for index in indexes],
                pagination=types_pb2.BatchResultsPagination(
                    offset=offset, limit=1000, total=total, has_more=offset + len(indexes) < total
                ),
            )
        ]
    )


def test_results_as_json_lines_are_all_pages(serve: Serve) -> None:
    server = serve(GetBatchResults=[page(range(3), 5, 0), page(range(3, 5), 5, 3)])
    result = run(server, "results", BATCH_ID, "--format", "jsonl")
    assert [json.loads(line)["item_index"] for line in result.stdout.splitlines()] == [0, 1, 2, 3, 4]


def test_results_as_a_table_tell_how_to_see_more(serve: Serve) -> None:
    server = serve(GetBatchResults=[page(range(2), 5, 0), page(range(1), 5, 0)])
    result = run(server, "results", BATCH_ID, "--limit", "2")
    assert "picture 1" in result.stdout
    assert "picture 3" not in result.stdout
    assert f"2 of 5 items, from offset 0.\nMore with: imagebatch results {BATCH_ID} --offset 2" in result.stderr


def test_a_long_description_wraps_in_the_table_and_is_not_cut(serve: Serve) -> None:
    message = outcome(1)
    words = " ".join(f"word{number}" for number in range(80))
    message.output_data.fields["description"].string_value = words
    answer = types_pb2.BatchResults(status=types_pb2.BATCH_STATUS_COMPLETED, results=[message])
    result = run(serve(GetBatchResults=[Attempt([answer]), Attempt([answer])]), "results", BATCH_ID)
    found = re.findall(r"word\d+", result.stdout)
    assert found == words.split()
    assert max(map(len, result.stdout.splitlines())) <= 120


def test_failed_only_asks_the_server_for_those(serve: Serve) -> None:
    server = serve(GetBatchResults=[page(range(1), 1, 0)])
    run(server, "results", BATCH_ID, "--failed-only", "--json")
    assert list(server.requests["GetBatchResults"][0].statuses) == [types_pb2.BATCH_ITEM_STATUS_FAILED]


def test_list_prints_whole_ids(serve: Serve) -> None:
    ids = [f"01931c0e-7d2a-7cc3-98c4-dc0c0c07398{digit}" for digit in "abc"]
    listed = batch_service_pb2.ListBatchesResponse(batches=[status(each) for each in ids])
    server = serve(ListBatches=[Attempt([listed])])
    result = run(server, "list", "--label", "a=b", "--operation", "describe", "--status", "completed")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["BATCH", *ids]
    (request,) = server.requests["ListBatches"]
    assert (dict(request.labels), request.operation, list(request.statuses)) == ({"a": "b"}, "describe", [3])


def test_cancel_tells_when_there_was_nothing_to_cancel(serve: Serve) -> None:
    result = run(serve(CancelBatch=[Attempt([status()])]), "cancel", BATCH_ID)
    assert "The batch had already ended: completed." in result.stderr
    assert result.exit_code == 0


def test_upload_prints_a_key_a_file(serve: Serve, photos: Path) -> None:
    server = serve(GetServerInfo=[INFO], UploadImage=[uploaded("k1")])
    assert run(server, "upload", photos / "dog.png").stdout == "k1  dog.png\n"


def download_of(name: str) -> Attempt:
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    header = image_service_pb2.DownloadImageHeader(file_name=name, sha256=sha256, size_bytes=3)
    return Attempt(
        [image_service_pb2.DownloadImageResponse(header=header), image_service_pb2.DownloadImageResponse(chunk=b"abc")]
    )


def test_download_writes_no_other_file_than_the_names_last_part(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    server = serve(DownloadImage=[download_of("../../evil.jpg"), download_of("../../evil.jpg")])
    assert run(server, "download", "k1").exit_code == 0
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.jpg")] == [Path("here/evil.jpg")]
    again = run(server, "download", "k1")
    assert again.exit_code == 2
    assert "--output: evil.jpg is there already; give another name, or --force" in again.stderr


def test_download_to_standard_output_is_the_bytes_alone(serve: Serve) -> None:
    assert run(serve(DownloadImage=[download_of("x")]), "download", "k1", "--output", "-").stdout_bytes == b"abc"


def test_operations_tell_their_parameters(serve: Serve) -> None:
    operation = batch_service_pb2.Operation(name="resize", version="2", description="Makes\nit small.")
    schema = operation.parameters_schema
    schema.update(
        {
            "properties": {
                "size": {"type": "integer", "default": 256, "description": "Longest side (pixels)."},
                "mode": {"enum": ["fit", "fill"]},
                "label": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            },
            "required": ["mode"],
        }
    )
    answer = Attempt([batch_service_pb2.ListOperationsResponse(operations=[operation])])
    result = run(serve(ListOperations=[answer]), "operations")
    assert result.stdout.splitlines() == [
        "resize (version 2)",
        "  Makes it small.",
        "  --param mode=...  one of fit, fill, required",
        "  --param label=...  string",
        "  --param size=...  integer, default 256",
        "      Longest side (pixels).",
    ]


def watched(server: ScriptedServer, **streams: Any) -> subprocess.Popen[bytes]:
    return started(server, "watch", BATCH_ID, **streams)


def hanging_batch(serve: Serve) -> ScriptedServer:
    return serve(
        GetBatchStatus=[Attempt([status(value="PROCESSING")])],
        WatchBatch=[Attempt(watch_from(9, cut_after=2), hangs=True)],
    )


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "background"])
def started_in(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have SIGINT as in the foreground: in the background of a script it is ignored."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("started_in")
def test_ctrl_c_says_how_to_go_on(serve: Serve) -> None:
    process = watched(hanging_batch(serve), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)][1] == b"success  item-2  picture 2\n"
    assert interrupted(process).splitlines() == [
        f"Stopped watching; batch {BATCH_ID} goes on. Cancel it with: imagebatch cancel {BATCH_ID}",
        f"Go on watching with: imagebatch watch {BATCH_ID} --after-sequence 2",
    ]


def test_a_reader_that_leaves_ends_the_watch_quietly(serve: Serve) -> None:
    server = serve(GetBatchStatus=[Attempt([status(value="PROCESSING")])], WatchBatch=[Attempt(watch_from(5000, 10))])
    process = watched(server, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(20) == 1


def test_a_terminal_gets_a_live_bar_with_items_above_it(serve: Serve) -> None:
    server = serve(GetBatchStatus=[Attempt([status(value="PROCESSING")])], WatchBatch=[Attempt(watch_from(4))])
    ours, theirs = pty.openpty()
    process = watched(server, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = all_shown(ours)
    assert process.wait(20) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    for number in range(1, 5):
        assert text.count(f"item-{number}  picture {number}") == 1
    assert "4/4" in text
    assert "4 ok 0 failed" in text
    assert f"Batch {BATCH_ID} completed" in text
