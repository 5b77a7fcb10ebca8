"""Limits on the server's memory: it says how its budgets fit, and refuses what it has no memory for, in words."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from tests.faults.conftest import Tell
from tests.faults.logs import tracebacks
from tests.faults.pressure import Pressure
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item, refusal
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED

MIB = 1024 * 1024
CALLERS = 8
CALLS = 3
LEAST = 600 * MIB
"""Of addresses; a little more than what a server with one worker needs."""

LIMITS = [("ulimit -v", "--as", LEAST), ("ulimit -v", "--as", 1150 * MIB), ("ulimit -d", "--data", 600 * MIB)]
GROUP = 930 * MIB
"""The least again; it is for the worker too."""

TOO_LITTLE = 400 * MIB
IN_GROUP = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
REFUSALS = {"RESOURCE_EXHAUSTED request_memory_bytes", "RESOURCE_EXHAUSTED max_request_bytes"}


def logged(server: ServerProcess, event: str) -> dict[str, Any]:
    """Find the one line of the log with an event."""
    lines = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    (found,) = [line for line in lines if line["event"] == event]
    return dict(found)


def press(server: ServerProcess) -> Counter[str]:
    """Have callers of every kind ask for all they can get, then submit a small batch, which must run to its end."""
    pressure = Pressure(server.address, CALLERS, CALLS)
    ended = pressure.exert()
    pressure.close()
    raw = Raw(server.address)
    eventually(lambda: small_batch_completes(raw))
    raw.close()
    assert server.process.poll() is None
    assert not tracebacks(server)
    assert {end.partition(" ")[2] for end in ended} <= {"OK", *REFUSALS}
    assert REFUSALS & {end.partition(" ")[2] for end in ended}
    return ended


def small_batch_completes(raw: Raw) -> bool:
    """Run a small batch to its end, unless the server has no memory for it yet."""
    with suppress(grpc.RpcError):
        small = raw.submit([item(image_base64=pictures.data_url(pictures.drawn()))], operation="thumbnail")
        return raw.watch_to_end(small.batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
    return False


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("source", "flag", "limit"), LIMITS)
def test_under_a_limit_of_its_own_a_server_refuses_what_it_has_no_memory_for(
    tmp_path: Path, tell: Tell, source: str, flag: str, limit: int
) -> None:
    with running_server(tmp_path / "data", within=("prlimit", f"{flag}={limit}")) as server:
        memory = logged(server, "server.memory")
        ended = press(server)
    tell(f"{CALLERS} callers of each kind under {source} {limit // MIB} MiB: {dict(ended)}")
    assert (memory["limit"], memory["source"]) == (limit, source)
    parts = ("used", "children", "requests", "rendering", "fetch", "ready", "reserve")
    assert memory["total"] == sum(memory[part] for part in parts) <= limit


def test_where_memory_is_tight_requests_may_be_smaller(tmp_path: Path, tell: Tell) -> None:
    with running_server(tmp_path / "data", within=("prlimit", f"--as={LEAST}")) as server:
        raw = Raw(server.address)
        limits = raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest()).limits
        image = "data:image/png;base64," + "A" * (limits.max_request_bytes + 4)
        with pytest.raises(grpc.RpcError) as caught:
            raw.submit([item(image_base64=image)], operation="thumbnail")
        assert refusal(caught.value).metadata["limit"] == "max_request_bytes"
        assert logged(server, "server.memory_short")["limit"] == LEAST
        raw.close()
    tell(f"under ulimit -v {LEAST // MIB} MiB a request may have {limits.max_request_bytes / MIB:.1f} MiB")
    assert MIB <= limits.max_request_bytes < 32 * MIB


def test_a_limit_below_what_the_server_needs_ends_the_start_in_one_line(tmp_path: Path, tell: Tell) -> None:
    server = ServerProcess(tmp_path / "data", within=("prlimit", f"--as={TOO_LITTLE}"))
    server.spawn()
    assert server.wait() == 1
    assert not tracebacks(server)
    last = server.log.strip().splitlines()[-1]
    assert last.startswith(f"imagebatch serve: ulimit -v allows {TOO_LITTLE} bytes of memory, and this server needs ")
    tell(last)


@contextmanager
def control_group(limit_bytes: int) -> Iterator[Path]:
    """Make a control group with so much memory; skips where that can't be done.

    The second version's where that has the memory, else the first version's.
    """
    first = Path("/sys/fs/cgroup/memory")
    group = (first if first.is_dir() else Path("/sys/fs/cgroup")) / f"imagebatch-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if first.is_dir() else "memory.max")).write_text(str(limit_bytes))
    except OSError as error:
        group.rmdir() if group.is_dir() else None
        pytest.skip(f"a control group can't be made here: {error}")
    try:
        yield group
    finally:
        for process in (group / "cgroup.procs").read_text().split():
            with suppress(psutil.NoSuchProcess):
                psutil.Process(int(process)).wait(10)
        group.rmdir()


@pytest.mark.timeout(300)
def test_a_control_groups_limit_is_found_and_kept(tmp_path: Path, tell: Tell) -> None:
    with (
        control_group(GROUP) as group,
        running_server(tmp_path / "data", within=("sh", "-c", IN_GROUP, str(group))) as server,
    ):
        memory = logged(server, "server.memory")
        ended = press(server)
        resident = psutil.Process(server.process.pid).memory_info().rss
    tell(f"{CALLERS} callers of each kind in {GROUP // MIB} MiB: {dict(ended)}; {resident // MIB} MiB at the end")
    assert (memory["limit"], memory["source"]) == (GROUP, "the machine or its container")
    assert resident < memory["total"] - memory["children"]
