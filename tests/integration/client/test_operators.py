"""Verbs for operators: what a tenant has used, and its deletion."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Callable

import pytest
from tests.integration.client.scripted import Attempt, ScriptedServer
from tests.integration.client.terminal import run, started

from imagebatch.v1 import batch_service_pb2

Serve = Callable[..., ScriptedServer]


def used(day: str, operation: str, items: int) -> batch_service_pb2.DailyUsage:
    return batch_service_pb2.DailyUsage(
        day=day, operation=operation, items=items, processing_time_ms=90_000, image_bytes=2**20, input_tokens=7
    )


def answering(*usage: batch_service_pb2.DailyUsage) -> Attempt:
    return Attempt([batch_service_pb2.GetUsageResponse(usage=usage)])


USED = answering(
    used("2026-01-01", "describe", 1000), used("2026-01-02", "describe", 1), used("2026-01-02", "thumb\x1bnail", 3)
)


def test_usage_is_summed_by_operation(serve: Serve) -> None:
    assert run(serve(GetUsage=[USED]), "usage").stdout.splitlines() == [
        "OPERATION   ITEMS  PROCESSING  IMAGES  INPUT TOKENS  OUTPUT TOKENS",
        "describe    1,001  3 min 00 s  2 MiB   14            0",
        "thumb nail  3      1 min 30 s  1 MiB   7             0",
        "total       1,004  4 min 30 s  3 MiB   21            0",
    ]


def test_usage_of_each_day(serve: Serve) -> None:
    server = serve(GetUsage=[USED, USED, answering()])
    days = ["--day-from", "2026-01-01", "--day-before", "2026-01-03"]
    lines = run(server, "usage", *days, "--by-day").stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:-1]] == [
        ["2026-01-01", "describe"],
        ["2026-01-02", "describe"],
        ["2026-01-02", "thumb"],
    ]
    asked = server.requests["GetUsage"][0]
    assert (asked.day_from, asked.day_before) == ("2026-01-01", "2026-01-03")
    as_json = [json.loads(line) for line in run(server, "usage", "--json").stdout.splitlines()]
    assert [each["items"] for each in as_json] == [1000, 1, 3]
    nothing = run(server, "usage")
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", "Nothing was used in that time.\n")


def test_a_tenant_is_deleted_only_when_that_is_said(serve: Serve) -> None:
    server = serve(DeleteTenant=[Attempt([batch_service_pb2.DeleteTenantResponse()])])
    unsure = run(server, "tenant", "delete", "cats")
    assert (unsure.exit_code, server.requests["DeleteTenant"]) == (2, [])
    assert "--yes: is needed to delete all that 'cats' has where nobody can be asked" in unsure.stderr
    assert run(server, "tenant", "delete", "cats", "--yes").stderr == "Deleted tenant cats.\n"
    assert server.requests["DeleteTenant"][0].tenant == "cats"


@pytest.mark.parametrize(("answer", "deleted"), [(b"y\n", 1), (b"n\n", 0)])
def test_a_person_is_asked_before_a_tenant_is_deleted(serve: Serve, answer: bytes, deleted: int) -> None:
    server = serve(DeleteTenant=[Attempt([batch_service_pb2.DeleteTenantResponse()])])
    ours, theirs = pty.openpty()
    process = started(server, "tenant", "delete", "cats", stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(theirs)
    os.write(ours, answer)
    _, stderr = process.communicate(timeout=20)
    os.close(ours)
    assert process.returncode == 0
    assert b"Delete all that tenant 'cats' has?" in stderr
    assert len(server.requests["DeleteTenant"]) == deleted
