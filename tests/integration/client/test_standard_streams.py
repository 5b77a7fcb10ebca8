"""Standard streams that are closed, full or a terminal, and what the command line does then."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
from collections.abc import Callable

import pytest
from rich.console import Console
from tests.integration.client.scripted import (
    BATCH_ID,
    Attempt,
    ScriptedServer,
    listed,
    outcome,
    status,
)
from tests.integration.client.terminal import COMMAND, all_shown, environment

from imagebatch.v1 import types_pb2
from imagebatch_client.cli.progress import LiveBar

Serve = Callable[..., ScriptedServer]


def test_a_bar_knows_its_end_from_the_start() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with LiveBar(console, console, 7):
        pass
    assert "0/7" in console.file.getvalue()  # type: ignore[attr-defined]


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
    shown = all_shown(ours)
    assert process.wait(20) == 0
    assert b"picture 1" in shown
    assert not re.search(rb"\x1b\[[0-9;]*3[0-9]", shown)
