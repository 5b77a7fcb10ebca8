"""A watch through one of several servers, across the death of the batch's owner and of the server that is watched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from sqlalchemy import text
from tests.faults.conftest import Tell
from tests.faults.fleet import Fleet, fleet, postgres, seaweed, shared_store
from tests.faults.stores import Store
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, is_terminal, item
from tests.server import ServerProcess

from imagebatch.v1 import types_pb2

__all__ = ["postgres", "seaweed", "shared_store"]

pytestmark = pytest.mark.postgres

ITEMS = 300
ITEM_S = 0.02


_OWNER = """
    SELECT application_name FROM batches
    JOIN servers ON servers.server_id = batches.owner
    JOIN pg_locks ON locktype = 'advisory' AND granted AND objid = CAST(lock_number AS oid)
    JOIN pg_stat_activity USING (pid)
    WHERE batch_id = :batch_id
"""


@pytest.fixture
def servers(shared_store: Store, tmp_path: Path) -> Iterator[Fleet]:
    with fleet(shared_store, tmp_path) as made:
        made.add()
        made.add()
        yield made


def owner_first(servers: Fleet, batch_id: str) -> list[ServerProcess]:
    """Find which server owns the batch, by the process that holds the lock of its owner."""
    found: list[str] = []
    servers.store.write(
        lambda connection: found.append(connection.execute(text(_OWNER), {"batch_id": batch_id}).scalar_one())
    )
    return sorted(servers.servers, key=lambda server: not found[0].endswith(f"process {server.process.pid}"))


def submit(server: ServerProcess) -> str:
    """Submit a batch that takes some seconds."""
    raw = Raw(server.address)
    picture = raw.upload(pictures.drawn()).object_key
    sleeps = item(object_key=picture, metadata={"do": "sleep", "seconds": ITEM_S})
    batch_id = raw.submit([sleeps] * ITEMS).batch_id
    raw.close()
    return batch_id


class Watching:
    """What a client sees that comes back with the last sequence that it has."""

    def __init__(self, batch_id: str) -> None:
        self._batch_id = batch_id
        self.sequences: list[int] = []
        self.indexes: list[int] = []
        self.status: types_pb2.BatchStatusResult | None = None

    def read(self, server: ServerProcess, until: int = ITEMS) -> None:
        """Watch through a server until so many outcomes are seen, and to the end if it is all of them."""
        raw = Raw(server.address)
        call = raw.watch(self._batch_id, after_sequence=self.sequences[-1] if self.sequences else 0)
        try:
            for message in call:
                self.sequences += [result.sequence for result in message.results]
                self.indexes += [result.item_index for result in message.results]
                if message.HasField("status"):
                    self.status = message.status
                if len(self.sequences) >= until < ITEMS:
                    return
        finally:
            call.cancel()
            raw.close()

    def assert_whole(self) -> None:
        """Each outcome was seen once, in order, and the batch has ended well."""
        assert self.sequences == list(range(1, ITEMS + 1))
        assert sorted(self.indexes) == list(range(ITEMS))
        assert self.status is not None
        assert is_terminal(self.status)
        assert self.status.successful_items == ITEMS


def test_a_watch_goes_on_when_the_owner_is_killed(servers: Fleet, tell: Tell) -> None:
    batch_id = submit(servers.servers[0])
    owner, other = owner_first(servers, batch_id)
    watching = Watching(batch_id)
    killed_at = ITEMS
    raw = Raw(other.address)
    for message in raw.watch(batch_id):
        watching.sequences += [result.sequence for result in message.results]
        watching.indexes += [result.item_index for result in message.results]
        watching.status = message.status if message.HasField("status") else watching.status
        if owner.process.poll() is None and len(watching.sequences) >= ITEMS / 10:
            owner.kill()
            killed_at = len(watching.sequences)
    raw.close()
    watching.assert_whole()
    assert killed_at < ITEMS
    tell(f"the owner was killed after {killed_at} of {ITEMS} outcomes; one watch through the other saw each once")


def test_a_watch_is_taken_up_elsewhere_when_its_server_is_killed(servers: Fleet, tell: Tell) -> None:
    batch_id = submit(servers.servers[0])
    owner, other = owner_first(servers, batch_id)
    watching = Watching(batch_id)
    watching.read(other, until=ITEMS // 10)
    other.kill()
    with pytest.raises(grpc.RpcError):
        watching.read(other)
    killed_at = len(watching.sequences)
    watching.read(owner)
    watching.assert_whole()
    tell(f"the watched server was killed after {killed_at} of {ITEMS} outcomes; the owner sent each of the rest once")
