"""One batch, without repeating its id."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from imagebatch_client.sync.watch import Watch
from imagebatch_client.types import (
    BatchExport,
    BatchItemResult,
    BatchItemStatus,
    BatchStatusResult,
    FailureCluster,
    ItemErrorCode,
)


class BatchCalls(Protocol):
    """What a batch asks of its client: `BatchClient` itself, which makes batches and so can't be imported here."""

    def get_status(self, batch_id: str, /) -> BatchStatusResult: ...

    def get_all_results(
        self, batch_id: str, include_failed: bool, page_size: int, /, *, statuses: Iterable[BatchItemStatus]
    ) -> Iterator[BatchItemResult]: ...

    def watch(
        self, batch_id: str, after_sequence: int, /, *, statuses: Iterable[BatchItemStatus], timeout: float | None
    ) -> Watch[BatchItemResult]: ...

    def wait_for_completion(
        self, batch_id: str, timeout: float | None, on_progress: Callable[[BatchStatusResult], object] | None, /
    ) -> BatchStatusResult: ...

    def cancel(self, batch_id: str, /) -> BatchStatusResult: ...

    def pause(self, batch_id: str, /) -> BatchStatusResult: ...

    def resume(self, batch_id: str, /) -> BatchStatusResult: ...

    def update(
        self, batch_id: str, /, *, priority: int | None, labels: Mapping[str, str] | None
    ) -> BatchStatusResult: ...

    def list_failure_clusters(self, batch_id: str, /) -> Iterator[FailureCluster]: ...

    def retry(
        self, batch_id: str, error_codes: Iterable[ItemErrorCode], /, *, cluster_id: str | None
    ) -> BatchStatusResult: ...

    def delete(self, batch_id: str, /) -> None: ...

    def export(
        self,
        batch_id: str,
        path: str | os.PathLike[str],
        /,
        *,
        replace: bool,
        on_export: Callable[[BatchExport], object] | None,
    ) -> BatchExport: ...


class Batch:
    """A batch of a client; its methods are the client's, with the batch's id."""

    def __init__(self, client: BatchCalls, batch_id: str) -> None:
        self._client = client
        self.batch_id = batch_id

    def __repr__(self) -> str:
        return f"Batch({self.batch_id!r})"

    def get_status(self) -> BatchStatusResult:
        """As `BatchClient.get_status`."""
        return self._client.get_status(self.batch_id)

    def results(
        self, include_failed: bool = True, *, statuses: Iterable[BatchItemStatus] = ()
    ) -> Iterator[BatchItemResult]:
        """As `BatchClient.get_all_results`."""
        return self._client.get_all_results(self.batch_id, include_failed, 1000, statuses=statuses)

    def watch(
        self, after_sequence: int = 0, *, statuses: Iterable[BatchItemStatus] = (), timeout: float | None = None
    ) -> Watch[BatchItemResult]:
        """As `BatchClient.watch`."""
        return self._client.watch(self.batch_id, after_sequence, statuses=statuses, timeout=timeout)

    def wait(
        self, timeout: float | None = None, on_progress: Callable[[BatchStatusResult], object] | None = None
    ) -> BatchStatusResult:
        """As `BatchClient.wait_for_completion`."""
        return self._client.wait_for_completion(self.batch_id, timeout, on_progress)

    def cancel(self) -> BatchStatusResult:
        """As `BatchClient.cancel`."""
        return self._client.cancel(self.batch_id)

    def pause(self) -> BatchStatusResult:
        """As `BatchClient.pause`."""
        return self._client.pause(self.batch_id)

    def resume(self) -> BatchStatusResult:
        """As `BatchClient.resume`."""
        return self._client.resume(self.batch_id)

    def update(self, *, priority: int | None = None, labels: Mapping[str, str] | None = None) -> BatchStatusResult:
        """As `BatchClient.update`."""
        return self._client.update(self.batch_id, priority=priority, labels=labels)

    def failure_clusters(self) -> Iterator[FailureCluster]:
        """As `BatchClient.list_failure_clusters`."""
        return self._client.list_failure_clusters(self.batch_id)

    def retry(self, error_codes: Iterable[ItemErrorCode] = (), *, cluster_id: str | None = None) -> BatchStatusResult:
        """As `BatchClient.retry`."""
        return self._client.retry(self.batch_id, error_codes, cluster_id=cluster_id)

    def delete(self) -> None:
        """As `BatchClient.delete`."""
        self._client.delete(self.batch_id)

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        replace: bool = False,
        on_export: Callable[[BatchExport], object] | None = None,
    ) -> BatchExport:
        """As `BatchClient.export`."""
        return self._client.export(self.batch_id, path, replace=replace, on_export=on_export)
