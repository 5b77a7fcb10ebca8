"""SIGTERM at a random moment of any sort of trouble: the server ends within its grace each time."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.conftest import Tell
from tests.faults.logs import tracebacks
from tests.faults.operations import OPERATIONS
from tests.faults.sigterm import SORTS, Scene, Sort
from tests.faults.stores import Store
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.server import ServerProcess

from imagebatch_server.app.serve import CLOSING_S

FORCED = "server.stop_forced"
"""What a server logs that could not close everything, and ends all the same: its last resort."""

FORCED_SHARE = 0.05
"""Of all ends, what may need it: the trouble may come while something is just being opened or closed."""

ROUNDS = 5
"""On each kind of store; `make soak` makes ten times as many of it, and twenty times by SCALE=20."""

GRACE_S = 1.0
SLACK_S = 3.0
"""For a machine that is busy with other tests, and for the process itself to go."""


@pytest.fixture
def sorts(store: Store, seed: int) -> Iterator[Sort]:
    """Sorts that the store knows, at random: none comes a second time before all the others came."""

    def without_end() -> Iterator[Sort]:
        chance = random.Random(seed)
        known = [sort for sort in SORTS if sort.kind in (None, store.kind)]
        while True:
            yield from chance.sample(known, len(known))

    return without_end()


@pytest.mark.timeout(7_200)
def test_sigterm_ends_a_server_within_its_grace_whatever_hangs(
    store: Store, sorts: Iterator[Sort], seed: int, scale: float, tmp_path: Path, tell: Tell
) -> None:
    chance = random.Random(seed)
    took: Counter[str] = Counter()
    forced: Counter[str] = Counter()
    rounds = round(ROUNDS * scale)
    for number in range(rounds):
        sort = next(sorts)
        folder = tmp_path / f"round-{number}"
        folder.mkdir()
        its_store = Store(store.kind, folder / "data", _database(store, folder), store.postgres)
        settings = {**its_store.settings, "stop_grace_s": str(GRACE_S)}
        server = ServerProcess(its_store.data_dir, settings, OPERATIONS, sort.within)
        took_s, code = stopped_in(sort, Scene(server, its_store, folder, chance))
        took[sort.name] = max(took[sort.name], round(took_s * 1000))
        forced[sort.name] += FORCED in server.log
        assert took_s < GRACE_S + CLOSING_S + SLACK_S, f"{sort.name}, round {number}: {server.log[-4000:]}"
        assert code in _codes(sort), f"{sort.name}, round {number}: it ended with {code}: {server.log[-4000:]}"
        assert tracebacks(server) == [], f"{sort.name}, round {number}"
        if store.postgres is not None:  # which syncs every file of every database when it starts after a crash
            store.postgres.drop_database(its_store.url)
    tell(f"{rounds} times SIGTERM in {len(took)} sorts of trouble; the slowest: {max(took.values()) / 1000:.1f} s")
    tell(f"ends that had to be forced: {forced.total()} {dict(+forced) or ''}")
    assert forced.total() <= max(1, rounds * FORCED_SHARE)
    tell(", ".join(f"{name} {ms / 1000:.1f} s" for name, ms in sorted(took.items())))


def stopped_in(sort: Sort, scene: Scene) -> tuple[float, int]:
    """Start a server, arrange the trouble, send SIGTERM after a moment; answers how long it took, and the exit code."""
    if sort.while_starting:
        with sort.arrange(scene):
            scene.server.spawn()
            return _stopped(scene, 4.0)
    scene.server.start()
    raw = Raw(scene.server.address)
    image = pictures.data_url(pictures.drawn())
    raw.submit([item(image_base64=image, metadata={"do": "sleep", "seconds": 0.05})] * 100)
    raw.close()
    with sort.arrange(scene):
        return _stopped(scene, 1.5)


def _stopped(scene: Scene, within_s: float) -> tuple[float, int]:
    threading.Event().wait(scene.chance.uniform(0, within_s))
    began = time.monotonic()
    scene.server.terminate()
    code = scene.server.wait(GRACE_S + CLOSING_S + 10 * SLACK_S)
    return time.monotonic() - began, code


def _codes(sort: Sort) -> set[int]:
    """How it may end: a process that has not come to its first line yet is ended by the signal itself."""
    return {0, -signal.SIGTERM} if sort.while_starting else {0}


def _database(store: Store, folder: Path) -> str:
    if store.postgres is None:
        return f"sqlite:///{folder / 'data' / 'imagebatch.db'}"
    return store.postgres.create_database()
