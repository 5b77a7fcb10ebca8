"""What the command line tells of failures, and of batches that wait."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.client.scripted import (
    BATCH_ID,
    Attempt,
    ScriptedServer,
    status,
)
from tests.integration.client.terminal import run

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch_client.cli import render
from imagebatch_client.types import BatchWaiting, WaitingReason

Serve = Callable[..., ScriptedServer]


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
