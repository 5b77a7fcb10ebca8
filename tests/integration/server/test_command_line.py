"""`imagebatch` as its user types it: 300 pictures, watched through kills of the server, then paged through."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.server import pictures
from tests.integration.server.calls import Raw
from tests.operations import open_gate
from tests.server import ServerProcess, running_server

from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED

PICTURES = 300
KILLS_AFTER = (90, 190)
AHEAD = 60
"""Items that the workers may have done beyond what the watcher has seen."""
IMAGEBATCH = (sys.executable, "-m", "imagebatch_client")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with running_server(tmp_path / "data", operations={"paced": "tests.operations:Paced"}) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for number in range(PICTURES):
        (tmp_path / "pictures" / f"{number:03}.png").write_bytes(pictures.drawn(number))
    return tmp_path / "pictures"


def test_a_folder_is_submitted_watched_through_kills_and_paged(server: ServerProcess, folder: Path) -> None:
    gate = folder.parent / "gate"
    open_gate(gate, KILLS_AFTER[0] + AHEAD)
    paced = ["-o", "paced", "--param", "seconds=0.005", "--param", f"gate={gate}"]
    submit = ["submit", str(folder), *paced, "--watch", "--json"]
    watch = subprocess.Popen(
        [*IMAGEBATCH, "--address", server.address, *submit], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert watch.stdout is not None
    seen: list[dict[str, Any]] = []
    for line in watch.stdout:
        seen.append(json.loads(line))
        if len(seen) in KILLS_AFTER:
            server.kill()
            open_gate(gate, len(seen) + 2 * AHEAD if len(seen) < KILLS_AFTER[-1] else PICTURES)
            server.start()
    _, told = watch.communicate(timeout=30)
    assert watch.returncode == 0, told
    assert server.log.count('"ownership.batch_taken_over"') == len(KILLS_AFTER), (
        "each kill came in the middle of the batch"
    )
    names = [f"{number:03}.png" for number in range(PICTURES)]
    assert sorted(result["item_id"] for result in seen) == names
    assert [result["sequence"] for result in seen] == list(range(1, PICTURES + 1))

    (batch_id,) = {result["batch_id"] for result in jsonl(server, "list")}
    paged = jsonl(server, "results", batch_id)
    assert [result["item_id"] for result in paged] == names
    assert {result["output_data"]["description"] for result in paged} == {"64 x 48"}
    assert Counter(result["status"] for result in paged) == {"success": PICTURES}

    (status,) = jsonl(server, "status", batch_id)
    assert (status["status"], status["total_items"], status["successful_items"]) == ("completed", PICTURES, PICTURES)
    raw = Raw(server.address)
    assert raw.status(batch_id).status == BATCH_STATUS_COMPLETED
    assert raw.page(batch_id).summary.successful_items == PICTURES
    raw.close()


def jsonl(server: ServerProcess, *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [*IMAGEBATCH, "--address", server.address, *arguments, "--json"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]
