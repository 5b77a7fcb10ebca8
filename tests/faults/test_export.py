"""An export that is killed half-way, and repeated: what was saved is not read again, and the file is the whole one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.faults.conftest import Tell
from tests.integration.server import pictures
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, running_server

from imagebatch_client import BatchClient, BatchExport, BatchImageInput

ITEMS = 30_000
SAVED_ITEMS = 10_000
"""An export keeps what it has so often."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_killed_export_goes_on(tmp_path: Path, suffix: str, tell: Tell) -> None:
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    with (
        running_server(tmp_path / "data", {"workers": "2"}, OPERATIONS) as server,
        BatchClient(server.address) as client,
    ):
        key = client.upload_image(pictures.drawn()).object_key
        items = (BatchImageInput(object_key=key, metadata={"n": index}) for index in range(ITEMS))
        batch_id = client.submit("noop", items).batch_id
        client.wait_for_completion(batch_id, timeout=300)
        client.export(batch_id, whole)
        kept = _killed(server, batch_id, path)
        seen: list[BatchExport] = []
        done = client.export(batch_id, path, on_export=seen.append)
    tell(f"killed with {kept:,} of {ITEMS:,} items saved; it went on to {seen[0].items:,}")
    assert SAVED_ITEMS <= kept < seen[0].items <= kept + 1_000, "it began with what was saved already"
    assert done.items == ITEMS
    assert path.read_bytes() == whole.read_bytes()
    assert sorted(tmp_path.glob("out*")) == [path]


def _killed(server: ServerProcess, batch_id: str, path: Path) -> int:
    """Export by the command line, and kill it once it has saved something; answers how many items that is."""
    cursor = path.with_name(f"{path.name}.part") / "cursor.json"
    command = [sys.executable, "-m", "imagebatch_client", "export", batch_id, "-o", str(path)]
    with subprocess.Popen([*command, "--address", server.address]) as process:
        while _saved(cursor) < SAVED_ITEMS:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.001)
        process.kill()
    assert not path.exists()
    return _saved(cursor)


def _saved(cursor: Path) -> int:
    return int(json.loads(cursor.read_text())["cursor"]["items"]) if cursor.exists() else 0
