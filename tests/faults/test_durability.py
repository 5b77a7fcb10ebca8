"""Power loss: by strace, blobs, their folders and the database's log are synced before an answer leaves the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from tests.faults.backends import backends
from tests.faults.conftest import Tell
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.faults.strace import Call, calls, tracing
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item
from tests.server import ServerProcess, running_server

WAL = {"sqlite": "/imagebatch.db-wal>", "postgres": "/pg_wal/"}
"""What the path of the database's log has in it."""


@pytest.fixture
def server(store: Store) -> Iterator[ServerProcess]:
    with running_server(store.data_dir, store.settings, operations=OPERATIONS) as running:
        yield running


class Traced:
    """What a server, and its PostgreSQL, asked of the kernel while it answered one call."""

    def __init__(self, store: Store, server: ServerProcess, log: Path, act: Callable[[Raw], str]) -> None:
        """`act` calls the server, and answers words that only the message to be looked at carries."""
        raw = Raw(server.address)
        warm = item(image_base64=pictures.data_url(pictures.drawn()))
        raw.watch_to_end(raw.submit([warm], "noop").batch_id)  # connections are open and programs loaded
        with tracing([server.process.pid, *(backend.pid for backend in backends(store))], log):
            words = act(raw)
            # The caller may have the answer before strace has written that it was sent.
            eventually(lambda: _sent(log, words))
        raw.close()
        self.calls = calls(log)
        self._wal = WAL[store.kind]
        self.answer = _sent(log, words)[0]

    def wal_syncs(self) -> Sequence[Call]:
        """Of the database's log, before the answer."""
        return [call for call in self.calls if call.is_sync and self._wal in call.arguments and self._is_before(call)]

    def unsynced_writes(self) -> int:
        """Find writes to the database's log that no sync had made durable when the answer left."""
        last = max((call.began for call in self.wal_syncs()), default=-1)
        return sum(
            call.name in ("pwrite64", "write") and self._wal in call.arguments.partition(",")[0]
            and last < call.began < self.answer.began
            for call in self.calls
        )  # fmt: skip

    def order(self, blob: str) -> list[str]:
        """How the image under the object key `blob` and its row became durable."""
        (named,) = [call for call in self.calls if call.name.startswith("link") and blob in call.arguments]
        part = named.arguments.split('"')[1]
        folder = str(Path(named.arguments.split('"')[3]).parent)
        steps = {
            "image synced": [call for call in self.calls if call.is_sync and f"<{part}>" in call.arguments],
            "image named": [named],
            "folder synced": [
                call
                for call in self.calls
                if call.is_sync and f"<{folder}>" in call.arguments and call.began > named.ended
            ],
            "database's log synced": self.wal_syncs()[-1:],
            "answer sent": [self.answer],
        }
        assert all(steps.values()), {step: len(found) for step, found in steps.items()}
        firsts = {step: found[0] for step, found in steps.items()}
        order = sorted(firsts, key=lambda step: firsts[step].began)
        for earlier, later in pairwise(order):
            assert firsts[earlier].ended < firsts[later].began, (earlier, later)
        return order

    def _is_before(self, call: Call) -> bool:
        return call.ended < self.answer.began


ORDER = ["image synced", "image named", "folder synced", "database's log synced", "answer sent"]


def test_a_submit_is_durable_before_it_is_answered(
    store: Store, server: ServerProcess, tmp_path: Path, tell: Tell
) -> None:
    submitted: list[str] = []

    def submit(raw: Raw) -> str:
        image = item(image_base64=pictures.data_url(pictures.drawn(7)))
        submitted.append(raw.submit([image], "noop").batch_id)
        return submitted[0]

    traced = Traced(store, server, tmp_path / "strace", submit)
    raw = Raw(server.address)
    key = raw.page(submitted[0]).results[0].input_data["object_key"]
    raw.close()
    assert traced.order(str(key)) == ORDER
    assert traced.unsynced_writes() == 0
    tell("SubmitBatch with an image in base64: " + ", then ".join(ORDER))


def test_an_upload_is_durable_before_it_is_answered(
    store: Store, server: ServerProcess, tmp_path: Path, tell: Tell
) -> None:
    keys: list[str] = []

    def upload(raw: Raw) -> str:
        keys.append(raw.upload(pictures.drawn(8)).object_key)
        return keys[0]

    traced = Traced(store, server, tmp_path / "strace", upload)
    assert traced.order(keys[0]) == ORDER
    assert traced.unsynced_writes() == 0
    tell("UploadImage: " + ", then ".join(ORDER))


def test_an_outcome_is_durable_before_a_watcher_sees_it(
    store: Store, server: ServerProcess, tmp_path: Path, tell: Tell
) -> None:
    answered: list[str] = []

    def watch(raw: Raw) -> str:
        image = item(image_base64=pictures.data_url(pictures.drawn(9)), item_id="the-one-that-is-watched")
        answered.append(raw.submit([image], "noop").batch_id)
        raw.watch_to_end(answered[0])
        return "the-one-that-is-watched"

    traced = Traced(store, server, tmp_path / "strace", watch)
    (submitted, *_) = [call for call in traced.calls if call.name == "sendmsg" and answered[0] in call.arguments]
    syncs = [call for call in traced.wal_syncs() if call.began > submitted.ended]
    assert syncs, "the outcome's own"
    assert traced.unsynced_writes() == 0
    tell(f"an outcome: database's log synced {len(syncs)} times after the submit's answer, then sent to the watcher")


def _sent(log: Path, words: str) -> Sequence[Call]:
    return [call for call in calls(log) if call.name == "sendmsg" and words in call.arguments]
