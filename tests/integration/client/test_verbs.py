"""Verbs of the command line against a scripted server: which batches are meant, what is written, how it exits."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from rich.console import Console
from tests.integration.client.scripted import (
    BATCH_ID,
    Attempt,
    ScriptedServer,
    outcome,
    status,
    unavailable,
    watch_from,
)
from tests.integration.client.terminal import COMMAND, environment, run, started
from typer.testing import CliRunner

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2
from imagebatch_client.cli import render
from imagebatch_client.cli.app import app
from imagebatch_client.cli.progress import LiveBar
from imagebatch_client.types import BatchWaiting, WaitingReason

Serve = Callable[..., ScriptedServer]

IDS = [f"01931c0e-7d2a-7cc3-98c4-dc0c0c0739{digits}" for digits in ("80", "81", "8f")]


def listed(*batches: types_pb2.BatchStatusResult) -> Attempt:
    return Attempt([batch_service_pb2.ListBatchesResponse(batches=batches)])


@pytest.mark.parametrize("typed", ["latest", "3980", "0C073980", IDS[0]])
def test_a_batch_may_be_meant_by_less_than_its_id(serve: Serve, typed: str) -> None:
    server = serve(ListBatches=[listed(*map(status, IDS))], GetBatchStatus=[Attempt([status(IDS[0])])])
    result = run(server, "status", typed)
    assert result.exit_code == 0, result.stderr
    assert server.requests["GetBatchStatus"][0].batch_id == IDS[0]


@pytest.mark.parametrize(
    ("typed", "there", "told"),
    [
        ("abc", IDS, "'abc' is none; give at least 4 characters of one, an id from `imagebatch list`, or latest"),
        (
            "cat.jpg",
            IDS,
            "'cat.jpg' is none; give at least 4 characters of one, an id from `imagebatch list`, or latest",
        ),
        ("latest", [], "there is no batch yet; submit one first"),
        ("ffff", IDS, "none of the newest 1,000 begins or ends with 'ffff'"),
        ("01931c0e", IDS, f"'01931c0e' is short for 3 batches, such as {IDS[0]} and {IDS[1]}"),
    ],
)
def test_what_means_no_batch_or_several_is_told(serve: Serve, typed: str, there: list[str], told: str) -> None:
    result = run(serve(ListBatches=[listed(*map(status, there))]), "results", typed)
    assert (result.exit_code, result.stderr) == (2, f"imagebatch: BATCH_ID: {told}\n")


def test_wait_exits_by_how_the_batch_ended(serve: Serve) -> None:
    for value, code in (("COMPLETED", 0), ("FAILED", 1), ("PARTIALLY_COMPLETED", 1), ("CANCELLED", 4)):
        end = batch_service_pb2.WatchBatchResponse(status=status(value=value))
        server = serve(WatchBatch=[Attempt([end])], GetBatchStatus=[Attempt([status(value=value, total=2)])])
        result = run(server, "wait", BATCH_ID)
        assert result.exit_code == code
        assert result.stdout.startswith(f"Batch {BATCH_ID} {value.lower().replace('_', ' ')}")


@pytest.mark.parametrize("timeout", ["0", "200ms"])
def test_wait_has_an_end_of_its_own(serve: Serve, timeout: str) -> None:
    running = Attempt([status(value="PROCESSING", total=9, done=4)])
    server = serve(WatchBatch=[Attempt(watch_from(9, cut_after=4), hangs=True)], GetBatchStatus=[running])
    result = run(server, "wait", BATCH_ID, "--timeout", timeout)
    assert result.exit_code == 5
    assert "4 of 9 items have an outcome; it goes on" in result.stderr


def test_a_watch_has_an_end_of_its_own(serve: Serve) -> None:
    server = serve(
        GetBatchStatus=[Attempt([status(value="PROCESSING")])],
        WatchBatch=[Attempt(watch_from(9, cut_after=4), hangs=True)],
    )
    result = run(server, "watch", BATCH_ID, "--timeout", "500ms")
    assert result.exit_code == 5
    assert result.stderr.endswith(f"Go on watching with: imagebatch watch {BATCH_ID} --after-sequence 4\n")


RPC_OF = {"cancel": "CancelBatch", "delete": "DeleteBatch", "pause": "PauseBatch", "resume": "ResumeBatch"}


@pytest.mark.parametrize(("verb", "rpc"), RPC_OF.items())
def test_several_are_chosen_by_label_and_state(serve: Serve, verb: str, rpc: str) -> None:
    value = "FAILED" if verb == "delete" else "PROCESSING"
    answers = [Attempt([status(each)]) for each in IDS]
    if verb == "delete":
        answers = [Attempt([batch_service_pb2.DeleteBatchResponse()]) for _ in IDS]
    script = {"ListBatches": [listed(*(status(each, value=value) for each in IDS))], rpc: answers}
    server = serve(**script)
    assert run(server, verb, "--label", "run=nightly", "--yes").exit_code == 0
    assert [request.batch_id for request in server.requests[rpc]] == IDS
    (request,) = server.requests["ListBatches"]
    assert dict(request.labels) == {"run": "nightly"}
    terminal = {types_pb2.BATCH_STATUS_PENDING, types_pb2.BATCH_STATUS_PROCESSING}
    assert (set(request.statuses) <= terminal) == (verb != "delete")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["delete"], "give ids, or --label and --status, and not both"),
        (["delete", BATCH_ID, "--label", "a=b"], "give ids, or --label and --status, and not both"),
        (["delete", "--status", "processing"], "a batch that is processing can't be chosen to delete"),
        (["cancel", "--status", "completed"], "a batch that is completed can't be chosen to cancel"),
        (["pause", "--status", "failed"], "a batch that is failed can't be chosen to pause"),
        (["delete", "--label", "a=b"], "--yes: is needed to delete 3 batches where nobody can be asked"),
    ],
)
def test_a_choice_that_is_not_clear_is_refused(serve: Serve, arguments: list[str], told: str) -> None:
    server = serve(ListBatches=[listed(*map(status, IDS))])
    result = run(server, *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert server.requests["DeleteBatch"] == server.requests["CancelBatch"] == []


@pytest.mark.parametrize(("answer", "deleted"), [(b"y\n", 3), (b"n\n", 0), (b"\n", 0)])
def test_a_person_is_asked_first(serve: Serve, answer: bytes, deleted: int) -> None:
    deletion = Attempt([batch_service_pb2.DeleteBatchResponse()])
    server = serve(ListBatches=[listed(*map(status, IDS))], DeleteBatch=[deletion] * 3)
    ours, theirs = pty.openpty()
    process = started(server, "delete", "--label", "a=b", stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(theirs)
    os.write(ours, answer)
    _, stderr = process.communicate(timeout=20)
    os.close(ours)
    assert process.returncode == 0
    assert b"Delete 3 batches?" in stderr
    assert IDS[0].encode() in stderr
    assert len(server.requests["DeleteBatch"]) == deleted


@pytest.mark.parametrize(("verb", "rpc"), RPC_OF.items())
def test_all_ids_are_checked_before_anything_is_done(serve: Serve, verb: str, rpc: str) -> None:
    missing = Attempt(code=grpc.StatusCode.NOT_FOUND, reason="BATCH_NOT_FOUND", message="no such batch")
    server = serve(GetBatchStatus=[Attempt([status(IDS[0])]), missing])
    assert run(server, verb, *IDS[:2]).exit_code == 2
    assert [request.batch_id for request in server.requests["GetBatchStatus"]] == IDS[:2]
    assert server.requests[rpc] == []


def test_none_of_several_is_paused_if_one_has_ended(serve: Serve) -> None:
    found = [Attempt([status(IDS[0], value="PROCESSING")]), Attempt([status(IDS[1], value="COMPLETED")])]
    server = serve(GetBatchStatus=found)
    result = run(server, "pause", *IDS[:2])
    assert (result.exit_code, f"{IDS[1]} is completed; it has ended" in result.stderr) == (2, True)
    assert server.requests["PauseBatch"] == []


def test_a_pause_is_shown(serve: Serve) -> None:
    paused = status(value="PROCESSING", total=9, done=4)
    paused.paused_at.FromJsonString("2026-01-31T12:00:00Z")
    server = serve(PauseBatch=[Attempt([paused])], ListBatches=[listed(paused)], ResumeBatch=[Attempt([status()])])
    shown = run(server, "pause", BATCH_ID).stdout
    assert "\nstatus        processing (paused)\n" in shown
    assert "\npaused        2026-01-" in shown
    assert "processing (paused)" in run(server, "list").stdout
    assert "paused" not in run(server, "resume", BATCH_ID).stdout


@pytest.mark.parametrize(
    ("arguments", "named", "labels"),
    [
        (["--priority", "9"], ["priority"], {}),
        (["--label", "run=nightly", "--label", "a=b"], ["labels"], {"run": "nightly", "a": "b"}),
        (["--no-labels", "--priority", "9"], ["priority", "labels"], {}),
    ],
)
def test_an_update_names_what_it_changes(
    serve: Serve, arguments: list[str], named: list[str], labels: dict[str, str]
) -> None:
    server = serve(UpdateBatch=[Attempt([status(value="PROCESSING")])])
    result = run(server, "update", BATCH_ID, *arguments)
    assert result.exit_code == 0, result.stderr
    (request,) = server.requests["UpdateBatch"]
    assert (list(request.update_mask.paths), dict(request.labels)) == (named, labels)
    assert request.priority == (9 if "priority" in named else 0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--priority: is missing; give it, --label or --no-labels"),
        (["--no-labels", "--label", "a=b"], "--no-labels: can't be given with --label; give one of them"),
        (["--priority", "11"], "11 is not from 1 to 10"),
    ],
)
def test_an_update_of_nothing_is_refused(serve: Serve, arguments: list[str], told: str) -> None:
    result = run(serve(), "update", BATCH_ID, *arguments)
    assert (result.exit_code, told in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["watch", BATCH_ID, "--status", "pending"],
        ["results", BATCH_ID, "--status", "processing"],
        ["results", BATCH_ID, "--format", "xml"],
        ["retry", BATCH_ID, "--error-code", "bad"],
        ["list", "--status", "bad"],
    ],
)
def test_a_choice_that_there_is_not_is_told_with_those_there_are(serve: Serve, arguments: list[str]) -> None:
    server = serve()
    result = run(server, *arguments)
    assert result.exit_code == 2
    assert f"Invalid value for '{arguments[-2]}': '{arguments[-1]}' is none of " in result.stderr
    assert not server.requests


@pytest.mark.parametrize(
    ("processed", "told"), [(1, "Retrying 2 items."), (2, "Retrying 1 item."), (3, "There is nothing to retry.")]
)
def test_a_retry_tells_what_it_did(serve: Serve, processed: int, told: str) -> None:
    value = "COMPLETED" if processed == 3 else "PROCESSING"
    answer = Attempt([status(value=value, total=3, done=processed)])
    info = Attempt([batch_service_pb2.GetServerInfoResponse(features=["retry-request-id", "retry-item-ids"])])
    result = run(serve(RetryBatch=[answer], GetServerInfo=[info]), "retry", BATCH_ID)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == f"{told}\n"


def test_a_batch_is_not_downloaded_to_standard_output(serve: Serve) -> None:
    result = run(serve(), "download", "--batch", BATCH_ID, "-o", "-")
    told = "imagebatch: --output: standard output takes one image; give a folder with --batch\n"
    assert (result.exit_code, result.stderr) == (2, told)


def test_a_full_disk_is_no_wrong_usage(serve: Serve) -> None:
    result = run(serve(DownloadImage=[stored("a.jpg")]), "download", "key", "-o", "/dev/full")
    told = "imagebatch: /dev/full can't be written: No space left on device\n"
    assert (result.exit_code, result.stderr) == (1, told)


def test_a_bar_knows_its_end_from_the_start() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with LiveBar(console, console, 7):
        pass
    assert "0/7" in console.file.getvalue()  # type: ignore[attr-defined]


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


def test_info_tells_of_the_server(serve: Serve) -> None:
    answer = batch_service_pb2.GetServerInfoResponse(
        version="9.8", limits=batch_service_pb2.ServerLimits(max_image_bytes=52_428_800), features=["x\x1b[2J"]
    )
    server = serve(GetServerInfo=[Attempt([answer])])
    lines = dict(re.split(r"  +", line, maxsplit=1) for line in run(server, "info").stdout.splitlines())
    assert (lines["version"], lines["max image bytes"]) == ("9.8", "52,428,800 (50 MiB)")
    assert lines["features"] == "x [2J"
    assert lines["address"] == server.address


@pytest.mark.parametrize("arguments", [["status", BATCH_ID], ["list"], ["--help"], ["--version"], ["status", "--help"]])
@pytest.mark.parametrize("where", ["full", "closed"])
def test_output_that_goes_nowhere_is_told_without_a_traceback(serve: Serve, arguments: list[str], where: str) -> None:
    server = serve(GetBatchStatus=[Attempt([status()])], ListBatches=[listed(status())])
    redirect = ">/dev/full" if where == "full" else ">&-"
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirect}', "sh", *COMMAND, *arguments],
        env=environment(server),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    told = "No space left on device" if where == "full" else "Bad file descriptor"
    assert done.returncode == 1
    assert done.stderr.endswith(f"imagebatch: standard output can't be written: {told}\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", "<&-"])
def test_other_streams_may_be_closed_or_full(serve: Serve, redirect: str) -> None:
    server = serve(ListBatches=[listed(status())])
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirect}', "sh", *COMMAND, "list"],
        env=environment(server),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    assert BATCH_ID in done.stdout


@pytest.mark.parametrize("extra", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(serve: Serve, extra: dict[str, str]) -> None:
    answer = types_pb2.BatchResults(status=types_pb2.BATCH_STATUS_COMPLETED, results=[outcome(1)])
    server = serve(GetBatchResults=[Attempt([answer]), Attempt([answer])])
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*COMMAND, "results", BATCH_ID], env=environment(server, **extra), stdout=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass  # how a terminal whose other end was closed says so
    os.close(ours)
    assert process.wait(20) == 0
    assert b"picture 1" in shown
    assert not re.search(rb"\x1b\[[0-9;]*3[0-9]", shown)


PROFILES = """
[profiles.default]
address = "{address}"

[profiles.away]
address = "127.0.0.1:1"
token = "t0ken"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("IMAGEBATCH_CONFIG", str(path))
    monkeypatch.delenv("IMAGEBATCH_ADDRESS", raising=False)
    return path


def by_profile(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "IMAGEBATCH_ADDRESS"}
    return subprocess.run([*COMMAND, *arguments], env=environ, capture_output=True, text=True, check=False, timeout=60)


def test_a_profile_names_a_server(serve: Serve, config: Path) -> None:
    server = serve(ListBatches=[listed(status()), listed(status())])
    config.write_text(PROFILES.format(address=server.address))
    config.chmod(0o600)
    assert by_profile("list").returncode == 0
    away = by_profile("list", "--profile", "away")
    assert (away.returncode, away.stderr[:46]) == (3, "imagebatch: no server answers at 127.0.0.1:1 (")
    assert by_profile("list", "--profile", "away", "--address", server.address).returncode == 0
    assert server.metadata[-1]["authorization"] == "Bearer t0ken"


def test_a_profile_that_is_named_comes_before_the_environment(
    serve: Serve, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(ListBatches=[listed(status())])
    config.write_text(f'[profiles.here]\naddress = "{server.address}"\n[profiles.default]\naddress = "127.0.0.1:1"\n')
    monkeypatch.setenv("IMAGEBATCH_ADDRESS", "127.0.0.1:2")
    assert CliRunner().invoke(app, ["list", "--profile", "here"]).exit_code == 0
    assert "127.0.0.1:2" in CliRunner().invoke(app, ["list"]).stderr


@pytest.mark.parametrize(
    ("text", "arguments", "told"),
    [
        (PROFILES, ["--profile", "hone"], "'hone' is no profile; "),
        ("[profiles.default]\nadress = 'x:1'\n", [], "adress is unknown; did you mean address?"),
        ("[profiles.default]\ntls = 'yes'\n", [], "tls is str; give a bool"),
        ("profiles = 3\n", [], "write each profile as a table, [profiles.NAME]"),
        ("[profiles\n", [], "is no TOML"),
    ],
)
def test_what_is_wrong_with_profiles_is_told(
    serve: Serve, config: Path, text: str, arguments: list[str], told: str
) -> None:
    config.write_text(text)
    result = run(serve(), "list", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_token_that_others_can_read_is_told(serve: Serve, config: Path) -> None:
    config.write_text(PROFILES.format(address="127.0.0.1:1"))
    config.chmod(0o644)
    result = run(serve(ListBatches=[listed()]), "list")
    assert f"{config} holds a token and others can read it; run: chmod 600 {config}" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_verbs(shell: str) -> None:
    script = subprocess.run(
        [*COMMAND, "--show-completion", shell],
        env=environment(_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "_IMAGEBATCH_COMPLETE" in script.stdout, script.stderr
    done = subprocess.run(
        COMMAND,
        env=environment(
            _IMAGEBATCH_COMPLETE=f"complete_{shell}",
            COMP_WORDS="imagebatch ca",
            COMP_CWORD="1",
            _TYPER_COMPLETE_ARGS="imagebatch ca",
            _TYPER_COMPLETE_FISH_ACTION="get-args",
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cancel" in done.stdout


def test_a_server_that_is_away_is_one_line_for_every_verb(serve: Serve) -> None:
    refused = unavailable(retry_after_s=100)
    for verb, rpc in (("status", "GetBatchStatus"), ("wait", "WatchBatch"), ("cancel", "CancelBatch")):
        server = serve(**{rpc: [refused] * 9, "GetBatchStatus": [refused] * 9})
        result = run(server, verb, BATCH_ID, *(["--timeout", "0"] if verb == "wait" else []))
        assert result.exit_code == (5 if verb == "wait" else 3)
        assert result.stderr.count("\n") == 1
    missing = Attempt(
        code=grpc.StatusCode.NOT_FOUND, reason="BATCH_NOT_FOUND", message=f"batch {BATCH_ID} does not exist"
    )
    assert run(serve(GetBatchStatus=[missing]), "wait", BATCH_ID, "--timeout", "0").exit_code == 2


def cluster(number: int, message: str) -> batch_service_pb2.FailureCluster:
    return batch_service_pb2.FailureCluster(
        cluster_id=f"c{number}",
        error_code=types_pb2.ITEM_ERROR_CODE_FETCH_FAILED,
        host="a.example",
        message=message,
        count=number,
        item_ids=["x-1", "x-2", "x-3"],
    )


def test_failures_are_shown_by_what_they_have_in_common(serve: Serve) -> None:
    pages = [
        batch_service_pb2.ListFailureClustersResponse(
            clusters=[cluster(1200, "* is gone\x1b[31m")], next_page_token="t"
        ),
        batch_service_pb2.ListFailureClustersResponse(clusters=[cluster(1, "broke off")]),
    ]
    server = serve(ListFailureClusters=[Attempt([page]) for page in [*pages, *pages, *pages]])
    result = run(server, "failures", BATCH_ID)
    assert result.exit_code == 0, result.stderr
    shown = " ".join(result.stdout.split())
    assert "1,200 fetch_failed a.example * is gone [31m x-1, x-2 c1200" in shown
    assert "1,201 failed items in 2 clusters." in result.stderr
    assert f"imagebatch retry {BATCH_ID} --cluster c1200" in result.stderr
    lines = [json.loads(line) for line in run(server, "failures", BATCH_ID, "--json").stdout.splitlines()]
    assert [(line["cluster_id"], line["count"], line["first_at"]) for line in lines] == [
        ("c1200", 1200, None),
        ("c1", 1, None),
    ]
    limited = run(server, "failures", BATCH_ID, "--limit", "1")
    assert "c1200" in limited.stdout
    assert "broke off" not in limited.stdout
    assert "--limit 2" in limited.stderr
    assert [request.page_token for request in server.requests["ListFailureClusters"]] == ["", "t"] * 3


def test_a_batch_without_failures_says_so(serve: Serve) -> None:
    server = serve(ListFailureClusters=[Attempt([batch_service_pb2.ListFailureClustersResponse()])])
    result = run(server, "failures", BATCH_ID)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No item has failed.\n")


def waiting(reason: types_pb2.WaitingReason.ValueType, **why: Any) -> types_pb2.BatchStatusResult:
    waits = status(value="PROCESSING", total=9, done=4)
    waits.waiting.CopyFrom(types_pb2.BatchWaiting(reason=reason, **why))
    return waits


def test_a_status_says_why_the_batch_waits(serve: Serve) -> None:
    behind = waiting(types_pb2.WAITING_REASON_BEHIND_OTHERS, items_ahead=1200)
    held = waiting(types_pb2.WAITING_REASON_HOST_ASKED_TO_WAIT, detail="3 items wait for a.example\x1b[31m")
    held.waiting.until.FromJsonString("2026-01-31T12:00:07Z")
    server = serve(GetBatchStatus=[Attempt([behind]), Attempt([held]), Attempt([held])])
    assert (
        "\nwaiting       behind other batches; 1,200 items of yours go first\n"
        in run(server, "status", BATCH_ID).stdout
    )
    text = run(server, "status", BATCH_ID).stdout
    assert re.search(r"which asked to be left alone; until \d\d:00:07 \(3 items wait for a.example \[31m\)", text)
    said = json.loads(run(server, "status", BATCH_ID, "--json").stdout)["waiting"]
    assert (said["reason"], said["items_ahead"], said["until"]) == (
        "host_asked_to_wait",
        0,
        "2026-01-31T12:00:07+00:00",
    )


@pytest.mark.parametrize("reason", list(WaitingReason))
def test_every_reason_has_words(reason: WaitingReason) -> None:
    assert render.waiting(BatchWaiting(reason, 0, None, "")).split()[0] in {"behind", "for", "to", "because"}


def test_a_watch_says_once_why_nothing_happens(serve: Serve) -> None:
    quiet = batch_service_pb2.WatchBatchResponse(status=status(value="PROCESSING", total=2, done=0), sequence=0)
    ended = batch_service_pb2.WatchBatchResponse(status=status(total=2, done=2), sequence=0)
    no_room = waiting(types_pb2.WAITING_REASON_NO_ROOM)
    server = serve(GetBatchStatus=[Attempt([no_room])] * 3, WatchBatch=[Attempt([quiet, quiet, ended])])
    result = run(server, "watch", BATCH_ID)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("Waiting for room: the server has as much in hand as it takes.") == 1
