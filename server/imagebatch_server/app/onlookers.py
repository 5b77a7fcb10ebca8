"""Who is told of what goes on and changes nothing of it: metrics, log and traces."""

from __future__ import annotations

from collections.abc import Sequence

from imagebatch_server.app.metrics import Metrics
from imagebatch_server.app.settings import Settings
from imagebatch_server.app.tracing import open_tracing
from imagebatch_server.batches.failure_log import FailureLog
from imagebatch_server.batches.ports.execution import Executor
from imagebatch_server.batches.recorder import CommitListener
from imagebatch_server.rpc.observer import Observer
from imagebatch_server.rpc.refused_requests import RefusedRequests


class Onlookers:
    """Onlookers of requests, of attempts, of what is recorded and of what is delivered, until they are closed."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Begin to look. Raises CannotStart where traces are asked for and can't be made."""
        self._metrics = metrics
        self._tracing = tracing = open_tracing(settings)
        self._failures = FailureLog(settings.log_gather_s)
        self._refused = RefusedRequests(settings.log_gather_s)
        self.of_requests = Observer(metrics.requests, self._refused, None if tracing is None else tracing.calls)
        self.of_commits: Sequence[CommitListener] = [metrics, self._failures]
        if tracing is not None:
            self.of_commits = [*self.of_commits, tracing.items]

    def watched(self, executor: Executor) -> Executor:
        """Have an executor's attempts looked at, if anybody does so."""
        return executor if self._tracing is None else self._tracing.traced(executor)

    def delivered(self, batch_id: str, sequence: int, delay_s: float | None) -> None:
        """Note what a watcher is handed, as `watcher.Delivered`."""
        self._metrics.delivered(delay_s)
        if self._tracing is not None:
            self._tracing.items.delivered(batch_id, sequence)

    async def close(self) -> None:
        """Write and send what waits."""
        self._failures.close()
        self._refused.close()
        if self._tracing is not None:
            await self._tracing.close()
