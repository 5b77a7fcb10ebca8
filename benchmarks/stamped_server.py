"""`imagebatch serve` that also notes when each commit of outcomes returned: `python -m benchmarks.stamped_server FILE`.

The time is taken in the writer's thread, right after the driver's commit, on the clock that all processes share.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect
from tests.server import ServerProcess

from imagebatch_server.app.serve import serve
from imagebatch_server.batches.ports.batches import BatchCommit
from imagebatch_server.store.outcomes import SqlOutcomeStore


class StampedServer(ServerProcess):
    """A server process that notes its commits in `stamps`."""

    stamps: Path

    def spawn(self) -> subprocess.Popen[str]:
        self.stamps = self.data_dir.parent / "stamps"
        with self.log_path.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(self.stamps)],
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self._process

    def committed_at(self, batch_id: str) -> Mapping[int, float]:
        """When each sequence of the batch was committed (time.monotonic)."""
        times: dict[int, float] = {}
        for line in self.stamps.read_text().splitlines():
            stamped_id, last_sequence, outcomes, at = json.loads(line)
            if stamped_id == batch_id:
                times |= dict.fromkeys(range(last_sequence - outcomes + 1, last_sequence + 1), at)
        return times


def _note_commits(file: Any) -> None:
    last_commit = [0.0]
    do_commit: Any = DefaultDialect.do_commit
    record = SqlOutcomeStore.record

    def stamped_commit(self: DefaultDialect, connection: Any) -> None:
        do_commit(self, connection)
        last_commit[0] = time.monotonic()

    async def stamped_record(self: SqlOutcomeStore, commits: Sequence[BatchCommit], *args: Any, **named: Any) -> Any:
        batches = await record(self, commits, *args, **named)
        for commit, batch in zip(commits, batches, strict=True):
            if batch is not None and commit.outcomes:
                stamp = [batch.batch_id, batch.last_sequence, len(commit.outcomes), last_commit[0]]
                os.write(file, json.dumps(stamp).encode() + b"\n")
        return batches

    # Put in from outside, so that the server has no code for the sake of being measured.
    DefaultDialect.do_commit = stamped_commit  # type: ignore[method-assign]
    SqlOutcomeStore.record = stamped_record  # type: ignore[method-assign]


if __name__ == "__main__":
    _note_commits(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644))
    serve()
