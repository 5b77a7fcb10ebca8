"""What reaches the terminal or a file: styles, widths, what goes where, and nothing that was typed and drives it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.client.scripted import BATCH_ID, Attempt, ScriptedServer, outcome, status, watch_from
from tests.integration.client.terminal import COMMAND, all_shown, environment, run

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2

Serve = Callable[..., ScriptedServer]


def on_terminal(server: ScriptedServer, *arguments: str, columns: int = 100, **extra: str) -> str:
    """Answer what a terminal of so many columns is sent on both streams."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=environment(server, COLUMNS="", **extra), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = all_shown(ours)
    process.wait(20)
    return shown.decode()


def page(*results: types_pb2.BatchItemResult) -> Attempt:
    pagination = types_pb2.BatchResultsPagination(total=len(results))
    return Attempt(
        [types_pb2.BatchResults(status=types_pb2.BATCH_STATUS_COMPLETED, results=results, pagination=pagination)]
    )


@pytest.mark.parametrize("verb", ["results", "watch", "upload"])
def test_no_color_leaves_no_style_at_all(serve: Serve, tmp_path: Path, verb: str) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")

    def stored(_request: object) -> Iterator[Any]:
        yield image_service_pb2.UploadImageResponse(object_key="k1", sha256="ca978112", size_bytes=1)

    limits = batch_service_pb2.ServerLimits(max_image_bytes=10)
    server = serve(
        GetBatchResults=[page(outcome(1))] * 2,
        GetBatchStatus=[Attempt([status(total=2)])],
        WatchBatch=[Attempt(watch_from(2))],
        GetServerInfo=[Attempt([batch_service_pb2.GetServerInfoResponse(limits=limits)])],
        UploadImage=[Attempt(stored)],
    )
    shown = on_terminal(server, verb, str(tmp_path / "a.jpg") if verb == "upload" else BATCH_ID, NO_COLOR="1")
    assert "picture 1" in shown or "k1" in shown
    assert not re.search(r"\x1b\[[0-9;]*m", shown)


def test_a_narrow_terminal_gets_lines_instead_of_a_table(serve: Serve) -> None:
    server = serve(GetBatchResults=[page(outcome(1))] * 4)
    assert "success  item-1  picture 1\r\n" in on_terminal(server, "results", BATCH_ID, columns=40)
    assert "Outcome" in on_terminal(server, "results", BATCH_ID, columns=80)


def test_a_stored_image_is_shown_by_the_key_that_download_takes(serve: Serve) -> None:
    result = outcome(1)
    result.ClearField("output_data")
    result.stored_image_url, result.stored_object_key = f"file:///{'long/' * 30}", "default.k1"
    server = serve(GetBatchResults=[page(result)] * 3)
    assert "stored as default.k1" in run(server, "results", BATCH_ID).stdout
    assert f"file:///{'long/' * 30}" in run(server, "results", BATCH_ID, "--json").stdout


def test_the_outcome_of_a_wait_stands_alone_on_standard_output(serve: Serve) -> None:
    ended = status(value="PARTIALLY_COMPLETED", total=2, done=1)
    ended.failed_items = 1
    ended.failure_counts["timeout"] = 1
    watched = batch_service_pb2.WatchBatchResponse(status=ended)
    result = run(serve(WatchBatch=[Attempt([watched])], GetBatchStatus=[Attempt([ended])]), "wait", BATCH_ID)
    assert result.exit_code == 1
    assert result.stdout == f"Batch {BATCH_ID} partially completed: 1 succeeded, 1 failed.\n"
    assert f"See them with: imagebatch results {BATCH_ID} --failed-only" in result.stderr


DRIVING = "\x1b]0;title\x07\x9b31m\u202egpj"


@pytest.mark.parametrize(
    "arguments",
    [
        [f"status{DRIVING}"],
        ["status", BATCH_ID, DRIVING],
        ["status", f"--{DRIVING}"],
        ["status", DRIVING],
        ["list", "--status", DRIVING],
        ["list", "--limit", DRIVING],
        ["list", "--profile", DRIVING],
        ["submit", DRIVING, "-o", "x"],
        ["submit", "--manifest", DRIVING, "-o", "x"],
        ["download", "k", "-o", f"/nowhere/{DRIVING}"],
        ["serve", DRIVING],
        ["tenant", DRIVING],
    ],
)
def test_what_was_typed_does_not_drive_the_terminal(serve: Serve, arguments: list[str]) -> None:
    told = run(serve(), *arguments)
    assert told.exit_code in (2, 3)
    assert told.stderr
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", told.stderr + told.stdout)


def test_a_files_name_stays_on_one_line(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "a\nb.jpg").write_bytes(b"a")
    offered = Attempt([batch_service_pb2.ListOperationsResponse(operations=[batch_service_pb2.Operation(name="x")])])
    limits = batch_service_pb2.ServerLimits(max_image_bytes=10)
    info = Attempt([batch_service_pb2.GetServerInfoResponse(limits=limits)])
    planned = run(serve(ListOperations=[offered], GetServerInfo=[info]), "submit", tmp_path, "-o", "x", "--dry-run")
    assert planned.stdout == f"{tmp_path}/a b.jpg\n"
    answer = Attempt([image_service_pb2.UploadImageResponse(object_key="k1")])
    assert run(serve(UploadImage=[answer], GetServerInfo=[info]), "upload", tmp_path).stdout == "k1  a b.jpg\n"


@pytest.mark.parametrize("statuses", [["COMPLETED", "PROCESSING"], ["PENDING", "CANCELLED"]])
def test_nothing_is_deleted_where_one_of_several_goes_on(serve: Serve, statuses: list[str]) -> None:
    ids = [f"01931c0e-7d2a-7cc3-98c4-dc0c0c0739{digits}" for digits in ("80", "81")]
    found = [Attempt([status(each, value)]) for each, value in zip(ids, statuses, strict=True)]
    server = serve(GetBatchStatus=found)
    result = run(server, "delete", *ids)
    running = ids[statuses.index("PROCESSING" if "PROCESSING" in statuses else "PENDING")]
    assert result.exit_code == 2
    assert f"BATCH_ID: {running} is " in result.stderr
    assert "; cancel it, and wait for its end" in result.stderr
    assert server.requests["DeleteBatch"] == []


def test_urls_are_not_passed_over_by_an_upload(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    server = serve()
    result = run(server, "upload", tmp_path / "a.jpg", "https://x.example/b.jpg")
    assert (result.exit_code, server.requests["UploadImage"]) == (2, [])
    assert "https://x.example/b.jpg is a URL, which the server fetches by itself; give it to submit" in result.stderr


def test_one_operation_can_be_asked_for(serve: Serve) -> None:
    offered = [batch_service_pb2.Operation(name=name, version="1") for name in ("describe", "thumbnail")]
    answer = Attempt([batch_service_pb2.ListOperationsResponse(operations=offered)])
    server = serve(ListOperations=[answer] * 3)
    assert run(server, "operations", "thumbnail").stdout == "thumbnail (version 1)\n"
    assert run(server, "operations").stdout == "describe (version 1)\n\nthumbnail (version 1)\n"
    unknown = run(server, "operations", "thumbnial")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "'thumbnial' is unknown to the server; did you mean thumbnail?" in unknown.stderr


def test_operations_are_wrapped_to_the_terminal(serve: Serve) -> None:
    operation = batch_service_pb2.Operation(name="resize", version="2", description="Makes it small. " * 20)
    operation.parameters_schema.update({"properties": {"size": {"type": "integer", "description": "Pixels. " * 30}}})
    answer = Attempt([batch_service_pb2.ListOperationsResponse(operations=[operation])])
    shown = on_terminal(serve(ListOperations=[answer]), "operations", columns=60)
    assert max(map(len, shown.splitlines())) <= 60
    assert "--param size=...  integer" in shown


def test_what_a_server_says_does_not_drive_the_terminal(serve: Serve) -> None:
    down = Attempt(code=grpc.StatusCode.INTERNAL, message="\x1b[2J broken")
    result = run(serve(GetServerInfo=[down]), "info")
    assert result.exit_code == 3
    assert "\x1b" not in result.stderr
