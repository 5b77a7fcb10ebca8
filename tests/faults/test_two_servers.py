"""Several servers on one data folder or one database: one works, the others end and say why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.backends import backends
from tests.faults.conftest import Tell
from tests.faults.logs import tracebacks, wait_for
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.postgres import own_server
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.types_pb2 import BATCH_STATUS_CANCELLED, BATCH_STATUS_COMPLETED, BATCH_STATUS_PENDING

AT_ONCE = 4


@pytest.fixture
def server(store: Store) -> Iterator[ServerProcess]:
    with running_server(store.data_dir, store.settings, operations=OPERATIONS) as running:
        yield running


def another(store: Store, folder: Path, number: int = 0) -> ServerProcess:
    """Make a server on the same folder, with an address and a log of its own."""
    return ServerProcess(folder / f"other-{number}", {**store.settings, "data_dir": str(store.data_dir)}, OPERATIONS)


def submit_waiting(raw: Raw, gate: Path) -> str:
    """Make a batch of 21 items, whose first one waits until the gate exists."""
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


@pytest.mark.postgres
def test_a_second_server_on_the_database_whose_images_are_elsewhere_ends(tmp_path: Path, tell: Tell) -> None:
    """With a data folder of its own it could take batches whose images it does not have."""
    with own_server() as postgres:
        store = Store("postgres", tmp_path / "data", postgres.create_database(), postgres)
        second = ServerProcess(tmp_path / "other", store.settings, OPERATIONS)
        with running_server(store.data_dir, store.settings, operations=OPERATIONS) as server:
            raw = Raw(server.address)
            gate = tmp_path / "gate"
            batch_id = submit_waiting(raw, gate)
            second.spawn()
            assert second.wait() == 1
            assert tracebacks(second) == []
            last = second.log.strip().splitlines()[-1]
            assert "the database belongs with object store " in last
            tell(last)
            gate.touch()
            watched = raw.watch_to_end(batch_id)
            assert watched.statuses[-1].status == BATCH_STATUS_COMPLETED
            assert [result.sequence for result in watched.results] == list(range(1, 22))
            raw.close()


@pytest.mark.postgres
def test_a_server_that_lost_its_place_on_the_database_runs_nothing_twice(tmp_path: Path, tell: Tell) -> None:
    """The session of the lock and the lease is ended while items run: the server takes both again, and goes on."""
    with own_server() as postgres:
        store = Store("postgres", tmp_path / "data", postgres.create_database(), postgres)
        with running_server(store.data_dir, store.settings, operations=OPERATIONS) as server:
            raw = Raw(server.address)
            gate = tmp_path / "gate"
            batch_id = submit_waiting(raw, gate)
            for backend in backends(store):
                backend.terminate()
            gate.touch()
            watched = raw.watch_to_end(batch_id)
            assert watched.statuses[-1].status == BATCH_STATUS_COMPLETED
            assert [result.sequence for result in watched.results] == list(range(1, 22))
            wait_for(server, "server_lock.lost")
            wait_for(server, "server_lock.taken_again")
            assert "no longer owned" not in server.log
            raw.close()
    tell("every connection to PostgreSQL was ended: the lock was taken again, and the batch ended with 21 outcomes")


def test_a_batch_waits_for_a_server_that_has_its_operation(store: Store, tmp_path: Path, tell: Tell) -> None:
    gate = tmp_path / "gate"
    with running_server(store.data_dir, store.settings, operations=OPERATIONS) as server:
        raw = Raw(server.address)
        batch_id, cancelled = submit_waiting(raw, gate), submit_waiting(raw, gate)
        raw.close()
        server.kill()
    gate.touch()
    without_operations = ServerProcess(tmp_path / "without", {**store.settings, "data_dir": str(store.data_dir)})
    without_operations.start()
    raw = Raw(without_operations.address)
    assert raw.status(batch_id).status == BATCH_STATUS_PENDING
    raw.batches.CancelBatch(batch_service_pb2.CancelBatchRequest(batch_id=cancelled))
    assert raw.watch_to_end(cancelled).statuses[-1].status == BATCH_STATUS_CANCELLED, "skipping needs no operation"
    assert raw.status(batch_id).processed_items == 0
    raw.close()
    assert without_operations.stop() == 0
    assert without_operations.log.count("ownership.operation_missing") == 2
    assert tracebacks(without_operations) == []
    with_operations = another(store, tmp_path, 1)
    with_operations.start()
    raw = Raw(with_operations.address)
    assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
    raw.close()
    with_operations.stop()
    tell("a batch stayed pending on a server without its operation, and was run by one that has it")
