"""One batch, without repeating its id."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from typing import Protocol

from imagebatch_client.types import (
    BatchExport,
    BatchItemResult,
    BatchItemStatus,
    BatchStatusResult,
    FailureCluster,
    ItemErrorCode,
)


class BatchCalls(Protocol):
    """What a batch asks of its client: `AsyncBatchClient` itself, which makes batches and so can't be imported here."""

    async def get_status(self, batch_id: str, /) -> BatchStatusResult: ...

    def get_all_results(
        self, batch_id: str, include_failed: bool, page_size: int, /, *, statuses: Iterable[BatchItemStatus]
    ) -> AsyncIterator[BatchItemResult]: ...

    def watch(
        self, batch_id: str, after_sequence: int, /, *, statuses: Iterable[BatchItemStatus], timeout: float | None
    ) -> AsyncGenerator[BatchItemResult, None]: ...

    async def wait_for_completion(
        self, batch_id: str, timeout: float | None, on_progress: Callable[[BatchStatusResult], object] | None, /
    ) -> BatchStatusResult: ...

    async def cancel(self, batch_id: str, /) -> BatchStatusResult: ...

    async def pause(self, batch_id: str, /) -> BatchStatusResult: ...

    async def resume(self, batch_id: str, /) -> BatchStatusResult: ...

    async def update(
        self, batch_id: str, /, *, priority: int | None, labels: Mapping[str, str] | None
    ) -> BatchStatusResult: ...

    def list_failure_clusters(self, batch_id: str, /) -> AsyncIterator[FailureCluster]: ...

    async def retry(
        self, batch_id: str, error_codes: Iterable[ItemErrorCode], /, *, cluster_id: str | None
    ) -> BatchStatusResult: ...

    async def delete(self, batch_id: str, /) -> None: ...

    async def export(
        self,
        batch_id: str,
        path: str | os.PathLike[str],
        /,
        *,
        replace: bool,
        on_export: Callable[[BatchExport], object] | None,
    ) -> BatchExport: ...


class AsyncBatch:
    """A batch of an asynchronous client; its methods are the client's, with the batch's id."""

    def __init__(self, client: BatchCalls, batch_id: str) -> None:
        self._client = client
        self.batch_id = batch_id

    def __repr__(self) -> str:
        return f"AsyncBatch({self.batch_id!r})"

    async def get_status(self) -> BatchStatusResult:
        """As `AsyncBatchClient.get_status`."""
        return await self._client.get_status(self.batch_id)

    def results(
        self, include_failed: bool = True, *, statuses: Iterable[BatchItemStatus] = ()
    ) -> AsyncIterator[BatchItemResult]:
        """As `AsyncBatchClient.get_all_results`."""
        return self._client.get_all_results(self.batch_id, include_failed, 1000, statuses=statuses)

    def watch(
        self, after_sequence: int = 0, *, statuses: Iterable[BatchItemStatus] = (), timeout: float | None = None
    ) -> AsyncGenerator[BatchItemResult, None]:
        """As `AsyncBatchClient.watch`."""
        return self._client.watch(self.batch_id, after_sequence, statuses=statuses, timeout=timeout)

    async def wait(
        self, timeout: float | None = None, on_progress: Callable[[BatchStatusResult], object] | None = None
    ) -> BatchStatusResult:
        """As `AsyncBatchClient.wait_for_completion`."""
        return await self._client.wait_for_completion(self.batch_id, timeout, on_progress)

    async def cancel(self) -> BatchStatusResult:
        """As `AsyncBatchClient.cancel`."""
        return await self._client.cancel(self.batch_id)

    async def pause(self) -> BatchStatusResult:
        """As `AsyncBatchClient.pause`."""
        return await self._client.pause(self.batch_id)

    async def resume(self) -> BatchStatusResult:
        """As `AsyncBatchClient.resume`."""
        return await self._client.resume(self.batch_id)

    async def update(
        self, *, priority: int | None = None, labels: Mapping[str, str] | None = None
    ) -> BatchStatusResult:
        """As `AsyncBatchClient.update`."""
        return await self._client.update(self.batch_id, priority=priority, labels=labels)

    def failure_clusters(self) -> AsyncIterator[FailureCluster]:
        """As `AsyncBatchClient.list_failure_clusters`."""
        return self._client.list_failure_clusters(self.batch_id)

    async def retry(
        self, error_codes: Iterable[ItemErrorCode] = (), *, cluster_id: str | None = None
    ) -> BatchStatusResult:
        """As `AsyncBatchClient.retry`."""
        return await self._client.retry(self.batch_id, error_codes, cluster_id=cluster_id)

    async def delete(self) -> None:
        """As `AsyncBatchClient.delete`."""
        await self._client.delete(self.batch_id)

    async def export(
        self,
        path: str | os.PathLike[str],
        *,
        replace: bool = False,
        on_export: Callable[[BatchExport], object] | None = None,
    ) -> BatchExport:
        """As `AsyncBatchClient.export`."""
        return await self._client.export(self.batch_id, path, replace=replace, on_export=on_export)
