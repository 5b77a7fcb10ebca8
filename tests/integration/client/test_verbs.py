"""Verbs of the command line against a scripted server: which batches are meant, what is sent, how it exits."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Callable

import grpc
import pytest
from tests.integration.client.scripted import (
    BATCH_ID,
    Attempt,
    ScriptedServer,
    listed,
    status,
    unavailable,
    watch_from,
)
from tests.integration.client.terminal import run, started

from imagebatch.v1 import batch_service_pb2, types_pb2

Serve = Callable[..., ScriptedServer]

IDS = [f"01931c0e-7d2a-7cc3-98c4-dc0c0c0739{digits}" for digits in ("80", "81", "8f")]


@pytest.mark.parametrize("typed", ["latest", "3980", "0C073980", IDS[0]])
def test_a_batch_may_be_meant_by_less_than_its_id(serve: Serve, typed: str) -> None:
    server = serve(ListBatches=[listed(*map(status, IDS))], GetBatchStatus=[Attempt([status(IDS[0])])])
    result = run(server, "status", typed)
    assert result.exit_code == 0, result.stderr
    assert server.requests["GetBatchStatus"][0].batch_id == IDS[0]


@pytest.mark.parametrize(
    ("typed", "there", "told"),
    [
        (
            "abc",
            IDS,
            "'abc' is no batch's id; give at least 4 characters of one, an id from `imagebatch list`, or latest",
        ),
        (
            "cat.jpg",
            IDS,
            "'cat.jpg' is no batch's id; give at least 4 characters of one, an id from `imagebatch list`, or latest",
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


def test_info_tells_of_the_server(serve: Serve) -> None:
    answer = batch_service_pb2.GetServerInfoResponse(
        version="9.8", limits=batch_service_pb2.ServerLimits(max_image_bytes=52_428_800), features=["x\x1b[2J"]
    )
    server = serve(GetServerInfo=[Attempt([answer])])
    lines = dict(re.split(r"  +", line, maxsplit=1) for line in run(server, "info").stdout.splitlines())
    assert (lines["version"], lines["max image bytes"]) == ("9.8", "52,428,800 (50 MiB)")
    assert lines["features"] == "x [2J"
    assert lines["address"] == server.address


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
