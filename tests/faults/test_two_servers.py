"""Several servers on one data folder: one works, the others end and say why; a killed one leaves the folder free."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.conftest import Tell
from tests.faults.logs import tracebacks
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.server import ServerProcess, running_server

from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED

AT_ONCE = 4


@pytest.fixture
def server(store: Store) -> Iterator[ServerProcess]:
    with running_server(store.data_dir, store.settings, operations=OPERATIONS) as running:
        yield running


def another(store: Store, folder: Path, number: int = 0) -> ServerProcess:
    """A server on the same folder, with an address and a log of its own."""
    return ServerProcess(folder / f"other-{number}", {**store.settings, "data_dir": str(store.data_dir)}, OPERATIONS)


def submit_waiting(raw: Raw, gate: Path) -> str:
    """A batch of 21 items, whose first one waits until the gate exists."""
    picture = raw.upload(pictures.drawn()).object_key
    waits = item(object_key=picture, metadata={"do": "wait", "until": str(gate)})
    return raw.submit([waits, *[item(object_key=picture)] * 20]).batch_id


def test_the_second_server_ends_and_harms_nothing(
    store: Store, server: ServerProcess, tmp_path: Path, tell: Tell
) -> None:
    raw = Raw(server.address)
    gate = tmp_path / "gate"
    batch_id = submit_waiting(raw, gate)
    second = another(store, tmp_path)
    second.spawn()
    assert second.wait() == 1
    assert "Traceback" not in second.log
    last = second.log.strip().splitlines()[-1]
    assert f"the data folder {store.data_dir} is in use by process {server.process.pid}" in last
    assert "--data-dir" in last
    tell(last.replace(str(store.data_dir), "…"))
    gate.touch()
    watched = raw.watch_to_end(batch_id)
    assert watched.statuses[-1].status == BATCH_STATUS_COMPLETED
    assert [result.sequence for result in watched.results] == list(range(1, 22))
    assert "no longer owned" not in server.log
    raw.close()


def test_after_kill_9_another_server_takes_over(
    store: Store, server: ServerProcess, tmp_path: Path, tell: Tell
) -> None:
    raw = Raw(server.address)
    gate = tmp_path / "gate"
    batch_id = submit_waiting(raw, gate)
    raw.close()
    server.kill()
    second = another(store, tmp_path)
    second.start()
    gate.touch()
    raw = Raw(second.address)
    assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
    raw.close()
    second.stop()
    tell("a second server on the folder of a killed one ran its batch to the end")


def test_of_servers_that_start_at_once_one_works(store: Store, tmp_path: Path, tell: Tell) -> None:
    """On an empty folder: none may find a half-made database."""
    servers = [another(store, tmp_path, number) for number in range(AT_ONCE)]
    for server in servers:
        server.spawn()
    up = []
    for server in servers:
        assert server.process.stdout is not None
        if " listening on " in server.process.stdout.readline():
            up.append(server)
        else:
            assert server.wait() == 1
            assert "is in use by" in server.log
            assert tracebacks(server) == []
    assert len(up) == 1
    raw = Raw(up[0].address)
    batch_id = raw.submit([item(object_key=raw.upload(pictures.drawn()).object_key)], "noop").batch_id
    assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
    raw.close()
    up[0].stop()
    tell(f"of {AT_ONCE} servers started at once on an empty folder one works, the others say that it is in use")
