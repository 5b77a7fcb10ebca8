"""The asynchronous client's methods: those of the synchronous one, on grpc.aio."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from datetime import date, datetime
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeAlias, Unpack
from uuid import UUID

import grpc
import grpc.aio

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch.v1.batch_service_pb2_grpc import BatchServiceStub
from imagebatch_client import convert, errors, files, images, requests, resume
from imagebatch_client.aio.batch import AsyncBatch
from imagebatch_client.aio.calls import AsyncCalls
from imagebatch_client.aio.submission import Items, after, item_chunks, stream
from imagebatch_client.aio.uploads import upload_all
from imagebatch_client.export.export import Export
from imagebatch_client.resume import CallAttempts, ResultsWalk, WatchProgress
from imagebatch_client.settings import DEFAULT_ADDRESS, ConnectionSettings, settings_from_env
from imagebatch_client.types import (
    BatchExport,
    BatchItemResult,
    BatchItemStatus,
    BatchResults,
    BatchStatus,
    BatchStatusResult,
    BatchSubmissionResult,
    DailyUsage,
    DownloadedImage,
    FailureCluster,
    ItemErrorCode,
    Operation,
    ServerInfo,
    SubmitOptions,
    UploadedImage,
    UploadProgress,
    UploadUrl,
    WatchUpdate,
)

OnProgress: TypeAlias = Callable[[BatchStatusResult], object]
OnUpload: TypeAlias = Callable[[UploadProgress], object]
OnExport: TypeAlias = Callable[[BatchExport], object]


class AsyncBatchClient(AsyncCalls):
    """A client of one server for asyncio; BatchClient's documentation holds for it.

    It may be made before an event loop runs, and is used by one loop at a time. Methods that answer one thing are
    awaited; those that answer many are iterated with `async for`. `items` may be an asynchronous iterable, and
    `on_progress` a coroutine function.

        async with AsyncBatchClient("127.0.0.1:50051") as client:
            batch = await client.submit("describe", [BatchImageInput(image_url="https://example.com/cat.jpg")])
            async for result in client.watch(batch.batch_id):
                print(result.item_index, result.description or result.error_message)
    """

    def __init__(self, server: str | ConnectionSettings = DEFAULT_ADDRESS) -> None:
        """`server` is an address, "host:port", or settings with a token, TLS or other timeouts."""
        super().__init__(server)

    @classmethod
    def from_env(cls) -> Self:
        """Make a client from the environment: IMAGEBATCH_ and the name of a setting, such as IMAGEBATCH_TOKEN_FILE."""
        return cls(settings_from_env())

    async def close(self) -> None:
        """Close the connection. Calls under way, watches too, and later ones raise ClientClosedError."""
        await self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def submit(
        self,
        operation: str,
        items: Items,
        *,
        parameters: Mapping[str, Any] | None = None,
        request_id: str | UUID | None = None,
        labels: Mapping[str, str] | None = None,
        priority: int | None = None,
        skip_duplicates: bool = False,
        item_timeout: float | None = None,
        max_attempts: int | None = None,
        canary: int | None = None,
        failure_limit: float | None = None,
        output_prefix: str | None = None,
        notify_url: str | None = None,
    ) -> BatchSubmissionResult:
        """Submit a batch. Once this answers, the batch is durable and runs to its end by itself."""
        request_id = requests.own_or_new_request_id(request_id)
        options = requests.batch_options(
            operation,
            request_id=request_id,
            parameters=parameters,
            labels=labels,
            priority=priority,
            skip_duplicates=skip_duplicates,
            item_timeout=item_timeout,
            max_attempts=max_attempts,
            canary=canary,
            failure_limit=failure_limit,
            output_prefix=output_prefix,
            notify_url=notify_url,
        )
        if requests.names_destination(options):
            requests.check_destinations(options, (await self.server_info()).features)
        try:
            return await self._submit(options, items)
        except errors.ImagebatchError as error:
            error.request_id = request_id
            raise

    def batch(self, batch_id: str | UUID) -> AsyncBatch:
        """Take the batch of this id, which need not be repeated then. Asks nothing of the server."""
        return AsyncBatch(self, requests.identifier(batch_id, "batch_id"))

    async def get_status(self, batch_id: str | UUID) -> BatchStatusResult:
        """Read the batch's status and counters. Raises BatchNotFoundError."""
        return await self._unary(requests.get_status(batch_id), convert.status_result)

    async def get_results(
        self,
        batch_id: str | UUID,
        include_failed: bool = True,
        offset: int = 0,
        limit: int = 100,
        *,
        statuses: Iterable[BatchItemStatus] = (),
        item_ids: Iterable[str] = (),
        error_codes: Iterable[ItemErrorCode] = (),
        text: str | None = None,
    ) -> BatchResults:
        """One page of the batch's items, in index order, whatever their status. Raises BatchNotFoundError."""
        request = requests.get_results(
            batch_id,
            include_failed=include_failed,
            offset=offset,
            limit=limit,
            statuses=statuses,
            item_ids=item_ids,
            error_codes=error_codes,
            text=text,
        )
        if requests.is_search(request):
            requests.check_search(request, (await self.server_info()).features)
        return await self._unary(request, convert.results_page)

    async def get_all_results(
        self,
        batch_id: str | UUID,
        include_failed: bool = True,
        page_size: int = 100,
        *,
        statuses: Iterable[BatchItemStatus] = (),
        error_codes: Iterable[ItemErrorCode] = (),
        text: str | None = None,
        offset: int = 0,
    ) -> AsyncIterator[BatchItemResult]:
        """All items of the batch in index order, each once, read page by page as they are asked for."""
        wanted = tuple(requests.iterated(statuses, "statuses"))
        codes = tuple(requests.iterated(error_codes, "error_codes"))
        walk = ResultsWalk(offset, requests.flag(include_failed, "include_failed"))
        while walk.has_more:
            page = await self.get_results(
                batch_id, offset=walk.offset, limit=page_size, statuses=wanted, error_codes=codes, text=text
            )
            for result in walk.received(page):
                yield result

    async def watch(
        self,
        batch_id: str | UUID,
        after_sequence: int = 0,
        *,
        statuses: Iterable[BatchItemStatus] = (),
        timeout: float | None = None,
    ) -> AsyncGenerator[BatchItemResult, None]:
        """Watch the batch's outcomes as they are recorded, each exactly once, until the batch has ended."""
        updates = self.watch_updates(batch_id, after_sequence, statuses=statuses, timeout=timeout)
        async with aclosing(updates):
            async for update in updates:
                for result in update.results:
                    yield result

    async def watch_updates(
        self,
        batch_id: str | UUID,
        after_sequence: int = 0,
        *,
        statuses: Iterable[BatchItemStatus] = (),
        timeout: float | None = None,
    ) -> AsyncGenerator[WatchUpdate, None]:
        """As `watch`, message by message: also the statuses (one every 5 s at least) and where to resume."""
        progress = WatchProgress(after_sequence, self._settings, requests.seconds(timeout, "timeout"))
        async with aclosing(self._watch(batch_id, progress, statuses)) as updates:
            async for update in updates:
                yield update
        if not progress.is_finished:
            raise resume.timeout_error(str(batch_id), timeout, progress)

    async def wait_for_completion(
        self,
        batch_id: str | UUID,
        timeout: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> BatchStatusResult:
        """Wait until the batch has ended. Raises BatchTimeoutError, and BatchFailedError if it ended failed."""
        requests.callback(on_progress, "on_progress")
        progress = WatchProgress(0, self._settings, requests.seconds(timeout, "timeout"))
        async with aclosing(self._watch(batch_id, progress, resume.WAIT_STATUSES)) as updates:
            async for update in updates:
                if update.status is not None:
                    await _tell(on_progress, update.status)
        if progress.is_finished:
            return resume.ended(await self.get_status(batch_id))
        try:
            progress.saw(status := await self._status_within(batch_id, resume.LAST_LOOK_S))
        except errors.ImagebatchError as failure:
            raise resume.last_look_failed(str(batch_id), timeout, progress, failure) from failure
        if not status.is_terminal():
            raise resume.timeout_error(str(batch_id), timeout, progress)
        await _tell(on_progress, status)
        return resume.ended(status)

    async def cancel(self, batch_id: str | UUID) -> BatchStatusResult:
        """Asks for the batch to be cancelled; items in flight are still recorded. Raises BatchNotFoundError."""
        return await self._unary(requests.cancel(batch_id), convert.status_result)

    async def pause(self, batch_id: str | UUID) -> BatchStatusResult:
        """Have no more items of the batch begun until it is resumed. Raises BatchNotFoundError, BatchTerminalError."""
        return await self._unary(requests.pause(batch_id), convert.status_result)

    async def resume(self, batch_id: str | UUID) -> BatchStatusResult:
        """Let a paused batch go on. Raises BatchNotFoundError, BatchTerminalError."""
        return await self._unary(requests.resume(batch_id), convert.status_result)

    async def update(
        self, batch_id: str | UUID, *, priority: int | None = None, labels: Mapping[str, str] | None = None
    ) -> BatchStatusResult:
        """Change what is given of a running batch; `labels` take the place of all that it has.

        Raises BatchNotFoundError, BatchTerminalError.
        """
        return await self._unary(requests.update(batch_id, priority, labels), convert.status_result)

    async def retry(
        self,
        batch_id: str | UUID,
        error_codes: Iterable[ItemErrorCode] = (),
        *,
        item_ids: Iterable[str] = (),
        cluster_id: str | None = None,
        request_id: str | UUID | None = None,
    ) -> BatchStatusResult:
        """Run the failed items of an ended batch again: all, or those that match each selector that is given."""
        key = requests.own_or_new_request_id(request_id, "request_id")
        request = requests.retry(batch_id, error_codes, item_ids, cluster_id, key)
        try:
            features = (await self.server_info()).features
            requests.fit_retry(request, features, is_own_id=request_id is not None)
            return await self._unary(request, convert.status_result)
        except errors.ImagebatchError as error:
            error.request_id = key
            raise

    async def list_failure_clusters(
        self, batch_id: str | UUID, *, page_size: int = 50
    ) -> AsyncIterator[FailureCluster]:
        """List what the batch's failed items have in common, the largest clusters first, read page by page.

        Raises BatchNotFoundError when first asked for a cluster.
        """
        request = requests.list_failure_clusters(batch_id, page_size)
        while True:
            page = await self._unary(request, convert.clusters_page)
            for cluster in page.clusters:
                yield cluster
            if not page.next_token:
                return
            request.page_token = page.next_token

    async def list_batches(
        self,
        *,
        statuses: Iterable[BatchStatus] = (),
        operation: str | None = None,
        labels: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int = 50,
    ) -> AsyncIterator[BatchStatusResult]:
        """All batches that match, newest first, read page by page as they are asked for."""
        request = requests.list_batches(
            statuses=statuses,
            operation=operation,
            labels=labels,
            created_after=created_after,
            created_before=created_before,
            page_size=page_size,
        )
        while True:
            page = await self._unary(request, convert.batches_page)
            for batch in page.batches:
                yield batch
            if not page.next_token:
                return
            request.page_token = page.next_token

    async def delete(self, batch_id: str | UUID) -> None:
        """Delete an ended batch with its results. Raises BatchNotFoundError, BatchNotTerminalError."""
        attempts = CallAttempts(self._settings.timeout_s, self._was_reached)
        try:
            await self._unary(requests.delete(batch_id), convert.nothing, attempts)
        except errors.BatchNotFoundError:
            if not attempts.is_repeat:
                raise

    async def upload_image(
        self, image: images.ImageSource, *, file_name: str | None = None, content_type: str | None = None
    ) -> UploadedImage:
        """Store one image on the server, for BatchImageInput(object_key=...). Its file is read in threads."""
        return await self._upload(images.Upload(image, file_name, content_type))

    async def upload_files(
        self, paths: Iterable[files.AnyPath], *, on_upload: OnUpload | None = None
    ) -> list[UploadedImage]:
        """Store image files on the server, several at a time, and answer in their order."""
        requests.callback(on_upload, "on_upload")
        found = files.image_files(paths)
        if not found:
            return []
        sizes = files.sizes_of(found, (await self._server_limits()).max_image_bytes)
        return await upload_all(found, sizes, self._upload_known, files.Progress(sizes, on_upload))

    async def submit_files(
        self,
        operation: str,
        paths: Iterable[files.AnyPath],
        *,
        on_upload: OnUpload | None = None,
        **options: Unpack[SubmitOptions],
    ) -> BatchSubmissionResult:
        """Upload image files as `upload_files` does, and submit them with the options of `submit`."""
        found = files.image_files(paths)
        items = files.items_of(found, await self.upload_files(found, on_upload=on_upload))
        return await self.submit(operation, items, **options)

    async def create_upload_url(self, size_bytes: int, content_type: str = "", file_name: str = "") -> UploadUrl:
        """Ask for a URL to which somebody else, such as a browser, may upload one image of this size and type.

        Raises NotSupportedError where the server has no HTTP port.
        """
        request = requests.create_upload_url(size_bytes, content_type, file_name)
        return await self._unary(request, convert.upload_url)

    async def download_image(self, object_key: str) -> DownloadedImage:
        """Read one stored image whole. Raises ObjectNotFoundError."""
        request = requests.download(object_key)
        return await self._transfer("DownloadImage", partial(self._download_once, request))

    async def export(
        self,
        batch_id: str | UUID,
        path: str | os.PathLike[str],
        *,
        replace: bool = False,
        on_export: OnExport | None = None,
    ) -> BatchExport:
        """Write all items of the batch, as they are now, to a file: .parquet, .csv, .jsonl or .html, by its name.

        The file is written in threads.
        """
        batch_id = requests.identifier(batch_id, "batch_id")
        requests.callback(on_export, "on_export")
        with Export(batch_id, path, replaces=requests.flag(replace, "replace")) as export:
            if not export.is_begun:
                export.begin(await self.get_status(batch_id), await self.list_operations())
            while export.has_more:
                page = await self.get_results(batch_id, offset=export.offset, limit=export.page_size)
                small = await self._small_images(export.images_of(page), export.most_image_bytes)
                progress = await asyncio.to_thread(export.write, page, small)
                if on_export is not None:
                    on_export(progress)
            return await asyncio.to_thread(export.finish)

    async def list_operations(self) -> list[Operation]:
        """List the operations that the server offers, by name."""
        return await self._unary(batch_service_pb2.ListOperationsRequest(), convert.operations)

    async def server_info(self) -> ServerInfo:
        """Ask for the server's version, limits and health."""
        return await self._server_info()

    async def get_usage(
        self, day_from: date | str | None = None, day_before: date | str | None = None
    ) -> list[DailyUsage]:
        """Tell what the caller's tenant has used, by day and operation; what was deleted since then counts too."""
        return await self._unary(requests.get_usage(day_from, day_before), convert.usage)

    async def delete_tenant(self, tenant: str) -> None:
        """Remove a tenant whole, hidden at once: batches, results, images, usage. For operators. Safe to repeat."""
        await self._unary(requests.delete_tenant(tenant), convert.nothing)

    async def _submit(self, options: batch_service_pb2.BatchOptions, items: Items) -> BatchSubmissionResult:
        chunks = item_chunks(items)
        first = await anext(chunks, list[types_pb2.BatchImageInput]())
        second = await anext(chunks, None)
        if second is None:
            request = batch_service_pb2.SubmitBatchRequest(options=options, items=first)
            return await self._unary(request, convert.submission_result)
        unread = after([first, second], chunks)

        async def attempt(timeout_s: float) -> types_pb2.BatchSubmissionResult:
            nonlocal unread
            taken, unread = unread, item_chunks(items)
            messages = stream(options, taken)
            return await self._send(BatchServiceStub(self._stream_channel).SubmitBatchStream, messages, timeout_s)

        is_repeatable = not isinstance(items, (Iterator, AsyncIterator))
        return convert.submission_result(await self._transfer("SubmitBatchStream", attempt, is_repeatable))

    async def _watch(
        self, batch_id: str | UUID, progress: WatchProgress, statuses: Iterable[BatchItemStatus]
    ) -> AsyncGenerator[WatchUpdate, None]:
        wanted = tuple(requests.iterated(statuses, "statuses"))
        while not progress.is_expired():
            failure, token = None, self._credentials.token()
            request = requests.watch(batch_id, progress.position, wanted)
            with self._closed_channel():
                method = BatchServiceStub(self._open_channel()).WatchBatch
                call = method(request, timeout=progress.remaining_s(), metadata=self._credentials.metadata())
            try:
                while True:
                    with self._closed_channel():
                        async with asyncio.timeout(self._settings.silence_s):
                            message = await call.read()
                    if not isinstance(message, batch_service_pb2.WatchBatchResponse):
                        break  # grpc.aio.EOF
                    yield progress.received(convert.watch_update(message))
            except TimeoutError:
                failure = None
            except grpc.aio.AioRpcError as error:
                failure = self._failure(error, "WatchBatch")
                if self._credentials.is_renewed(failure, token):
                    failure = None
            finally:
                call.cancel()
            if progress.is_finished or progress.is_expired():
                return
            await asyncio.sleep(progress.pause_s(failure))


async def _tell(on_progress: OnProgress | None, status: BatchStatusResult) -> None:
    """Call `on_progress`, and await what it answers if that can be awaited."""
    answer = None if on_progress is None else on_progress(status)
    if inspect.isawaitable(answer):
        await answer
