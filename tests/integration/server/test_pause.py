"""PauseBatch, ResumeBatch and UpdateBatch over the wire: what is begun ends, and the rest waits, also across a kill."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item, refused
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, running_server
from typer.testing import CliRunner

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED, BATCH_STATUS_PROCESSING
from imagebatch_client.cli.app import app

ITEMS = 1_000
"""More than workers have at one time."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Give a test a server that it may kill."""
    with running_server(tmp_path / "data", operations=OPERATIONS) as running:
        yield running


@pytest.fixture
def picture(raw: Raw) -> str:
    return raw.upload(pictures.drawn()).object_key


def pause(raw: Raw, batch_id: str) -> types_pb2.BatchStatusResult:
    return raw.batches.PauseBatch(batch_service_pb2.PauseBatchRequest(batch_id=batch_id))


def others_run(raw: Raw, picture: str) -> None:
    """Run another batch to its end, behind whatever the only worker has at hand."""
    watched = raw.watch_to_end(raw.submit([item(object_key=picture)] * 20).batch_id)
    assert watched.statuses[-1].status == BATCH_STATUS_COMPLETED


def test_a_paused_batch_stays_so_across_a_kill_and_goes_on_where_it_was(
    server: ServerProcess, raw: Raw, picture: str, tmp_path: Path
) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    waits = {"do": "wait", "until": str(gate), "begun": str(begun)}
    batch_id = raw.submit(
        [item(object_key=picture, metadata=waits), *[item(object_key=picture)] * (ITEMS - 1)]
    ).batch_id
    eventually(begun.exists)
    eventually(lambda: raw.status(batch_id).status == BATCH_STATUS_PROCESSING)
    paused = pause(raw, batch_id)
    assert (paused.status, paused.HasField("paused_at")) == (BATCH_STATUS_PROCESSING, True)
    gate.touch()
    others_run(raw, picture)
    done = raw.status(batch_id)
    assert 1 <= done.successful_items < ITEMS
    assert (done.status, done.paused_at) == (BATCH_STATUS_PROCESSING, paused.paused_at)
    others_run(raw, picture)
    assert raw.status(batch_id) == done

    server.kill()
    server.start()
    eventually(lambda: _answers(raw, batch_id))
    others_run(raw, picture)
    assert raw.status(batch_id) == done
    assert pause(raw, batch_id).paused_at == paused.paused_at

    ran = CliRunner().invoke(app, ["resume", batch_id, "--address", server.address])
    assert ran.exit_code == 0, ran.output
    watched = raw.watch_to_end(batch_id)
    assert [result.sequence for result in watched.results] == list(range(1, ITEMS + 1))
    assert watched.statuses[-1].status == BATCH_STATUS_COMPLETED
    assert not watched.statuses[-1].HasField("paused_at")


def _answers(raw: Raw, batch_id: str) -> bool:
    """Whether the server is there again."""
    try:
        return bool(raw.status(batch_id).batch_id)
    except grpc.RpcError:
        return False


def test_a_watch_goes_on_while_the_batch_is_paused(raw: Raw, picture: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    batch_id = raw.submit([item(object_key=picture, metadata={"do": "wait", "until": str(gate)})] * 100).batch_id
    pause(raw, batch_id)
    messages = raw.watch(batch_id)
    quiet = next(message for message in messages if message.status.HasField("paused_at"))
    assert quiet.sequence == 0
    gate.touch()
    raw.batches.ResumeBatch(batch_service_pb2.ResumeBatchRequest(batch_id=batch_id))
    assert [message.status.status for message in messages][-1] == BATCH_STATUS_COMPLETED


def test_an_update_is_of_what_its_mask_names(server: ServerProcess, raw: Raw, picture: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waits = item(object_key=picture, metadata={"do": "wait", "until": str(gate)})
    batch_id = raw.submit([waits], labels={"run": "1", "team": "shop"}, request_id="mine").batch_id

    def update(*paths: str, **given: object) -> types_pb2.BatchStatusResult:
        mask = FieldMask(paths=paths)
        return raw.batches.UpdateBatch(
            batch_service_pb2.UpdateBatchRequest(batch_id=batch_id, update_mask=mask, **given)  # type: ignore[arg-type]
        )

    assert update("priority", priority=9, labels={"x": "y"}).priority == 9
    assert dict(update("labels", priority=1, labels={"run": "2"}).labels) == {"run": "2"}
    status = raw.status(batch_id)
    assert (status.priority, dict(status.labels)) == (9, {"run": "2"})
    both = update("labels", "priority")
    assert (both.priority, dict(both.labels)) == (5, {})
    again = raw.submit([waits], labels={"run": "1", "team": "shop"}, request_id="mine")
    assert again.batch_id == batch_id, "what was submitted is compared"
    for paths in ((), ("operation",), ("priority", "max_attempts")):
        found = refused(partial(update, *paths, priority=1))
        assert (found.code.name, found.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
        assert "priority, labels or both" in found.violations["update_mask"]
    gate.touch()
    assert raw.watch_to_end(batch_id).statuses[-1].priority == 5
    ran = CliRunner().invoke(app, ["update", batch_id, "--priority", "3", "--address", server.address])
    assert (ran.exit_code, "is completed; only a pending or processing one can be" in ran.stderr) == (2, True)
