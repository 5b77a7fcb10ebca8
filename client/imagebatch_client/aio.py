"""The asynchronous client: the methods of the synchronous one, on grpc.aio."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from datetime import datetime
from functools import partial
from itertools import chain
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2
from imagebatch.v1.batch_service_pb2_grpc import BatchServiceStub
from imagebatch.v1.image_service_pb2_grpc import ImageServiceStub
from imagebatch_client import convert, errors, images, requests, resume, transport
from imagebatch_client.resume import CallAttempts, ResultsWalk, WatchProgress
from imagebatch_client.threads import RequestFeed
from imagebatch_client.transport import DEFAULT_ADDRESS, ConnectionSettings
from imagebatch_client.types import (
    BatchImageInput,
    BatchItemResult,
    BatchItemStatus,
    BatchResults,
    BatchStatus,
    BatchStatusResult,
    BatchSubmissionResult,
    DownloadedImage,
    ItemErrorCode,
    Operation,
    ServerInfo,
    UploadedImage,
    WatchUpdate,
)

Q = TypeVar("Q", bound=Message)
R = TypeVar("R")

# Uploads and streamed submits that are under way at one time; more wait.
_MOST_TRANSFERS = 32


class AsyncBatchClient:
    """A client of one server for asyncio; BatchClient's documentation holds for it.

    Make it where the event loop runs that uses it. Methods that answer one thing are awaited; those that answer many
    are iterated with `async for`.

        async with AsyncBatchClient("127.0.0.1:50051") as client:
            batch = await client.submit("describe", [BatchImageInput(image_url="https://example.com/cat.jpg")])
            async for result in client.watch(batch.batch_id):
                print(result.item_index, result.description or result.error_message)
    """

    def __init__(self, server: str | ConnectionSettings = DEFAULT_ADDRESS) -> None:
        """`server` is an address, "host:port", or settings with a token, TLS or other timeouts."""
        self._settings = server if isinstance(server, ConnectionSettings) else ConnectionSettings(server)
        self._channel = transport.open_aio_channel(self._settings)
        self._metadata = transport.call_metadata(self._settings)
        self._was_reached = False
        self._batches = BatchServiceStub(self._channel)
        self._images = ImageServiceStub(self._channel)
        self._stream_channel = transport.open_channel(self._settings)
        self._transfers = ThreadPoolExecutor(_MOST_TRANSFERS, thread_name_prefix="imagebatch-transfer")

    @classmethod
    def from_env(cls) -> Self:
        """A client set up by IMAGEBATCH_ADDRESS, IMAGEBATCH_TOKEN, IMAGEBATCH_TLS and IMAGEBATCH_TLS_CA."""
        return cls(transport.settings_from_env())

    async def close(self) -> None:
        """Closes the connection. Calls under way are cancelled."""
        await self._channel.close()
        self._stream_channel.close()
        self._transfers.shutdown(wait=False, cancel_futures=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def submit(
        self,
        operation: str,
        items: Iterable[BatchImageInput],
        *,
        parameters: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        priority: int | None = None,
        skip_duplicates: bool = False,
        item_timeout: float | None = None,
        max_attempts: int | None = None,
        canary: int | None = None,
        failure_limit: float | None = None,
    ) -> BatchSubmissionResult:
        """Submits a batch. Once this answers, the batch is durable and runs to its end by itself."""
        request_id = request_id or str(uuid.uuid4())
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
        )
        try:
            return convert.submission_result(await self._submit(options, items))
        except errors.ImagebatchError as error:
            error.request_id = request_id
            raise

    async def get_status(self, batch_id: str) -> BatchStatusResult:
        """The batch's status and counters. Raises BatchNotFoundError."""
        request = batch_service_pb2.GetBatchStatusRequest(batch_id=batch_id)
        return convert.status_result(await self._unary(self._batches.GetBatchStatus, request))

    async def get_results(
        self,
        batch_id: str,
        include_failed: bool = True,
        offset: int = 0,
        limit: int = 100,
        *,
        statuses: Iterable[BatchItemStatus] = (),
        item_ids: Iterable[str] = (),
    ) -> BatchResults:
        """One page of the batch's items, in index order, whatever their status. Raises BatchNotFoundError."""
        request = requests.get_results(
            batch_id,
            include_failed=include_failed,
            offset=offset,
            limit=limit,
            statuses=statuses,
            item_ids=item_ids,
        )
        return convert.results_page(await self._unary(self._batches.GetBatchResults, request))

    async def get_all_results(
        self,
        batch_id: str,
        include_failed: bool = True,
        page_size: int = 100,
        *,
        statuses: Iterable[BatchItemStatus] = (),
        offset: int = 0,
    ) -> AsyncIterator[BatchItemResult]:
        """All items of the batch in index order, each once, read page by page as they are asked for."""
        wanted = tuple(statuses)
        walk = ResultsWalk(offset, include_failed)
        while walk.has_more:
            page = await self.get_results(batch_id, offset=walk.offset, limit=page_size, statuses=wanted)
            for result in walk.received(page):
                yield result

    async def watch(
        self, batch_id: str, after_sequence: int = 0, *, statuses: Iterable[BatchItemStatus] = ()
    ) -> AsyncGenerator[BatchItemResult, None]:
        """The batch's outcomes as they are recorded, each exactly once, until the batch has ended."""
        async with aclosing(self.watch_updates(batch_id, after_sequence, statuses=statuses)) as updates:
            async for update in updates:
                for result in update.results:
                    yield result

    def watch_updates(
        self, batch_id: str, after_sequence: int = 0, *, statuses: Iterable[BatchItemStatus] = ()
    ) -> AsyncGenerator[WatchUpdate, None]:
        """As `watch`, message by message: also the statuses (one every 5 s at least) and where to resume."""
        return self._watch(batch_id, WatchProgress(after_sequence, self._settings), statuses)

    async def wait_for_completion(
        self,
        batch_id: str,
        timeout: float | None = None,
        on_progress: Callable[[BatchStatusResult], object] | None = None,
    ) -> BatchStatusResult:
        """Waits until the batch has ended. Raises BatchTimeoutError, and BatchFailedError if it ended failed."""
        progress = WatchProgress(0, self._settings, timeout)
        async with aclosing(self._watch(batch_id, progress, resume.WAIT_STATUSES)) as updates:
            async for update in updates:
                if on_progress is not None and update.status is not None:
                    on_progress(update.status)
        if not progress.is_finished:
            raise resume.timeout_error(batch_id, timeout, progress)
        return resume.ended(await self.get_status(batch_id))

    async def cancel(self, batch_id: str) -> BatchStatusResult:
        """Asks for the batch to be cancelled; items in flight are still recorded. Raises BatchNotFoundError."""
        request = batch_service_pb2.CancelBatchRequest(batch_id=batch_id)
        return convert.status_result(await self._unary(self._batches.CancelBatch, request))

    async def retry(self, batch_id: str, error_codes: Iterable[ItemErrorCode] = ()) -> BatchStatusResult:
        """Runs the failed items of an ended batch again, all or those of the given codes."""
        request = requests.retry(batch_id, error_codes)
        return convert.status_result(await self._unary(self._batches.RetryBatch, request))

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
            page = await self._unary(self._batches.ListBatches, request)
            for batch in page.batches:
                yield convert.status_result(batch)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def delete(self, batch_id: str) -> None:
        """Deletes an ended batch with its results. Raises BatchNotFoundError, BatchNotTerminalError."""
        attempts = CallAttempts(self._settings.timeout_s, self._was_reached)
        request = batch_service_pb2.DeleteBatchRequest(batch_id=batch_id)
        try:
            await self._unary(self._batches.DeleteBatch, request, attempts)
        except errors.BatchNotFoundError:
            if not attempts.is_repeat:
                raise

    async def upload_image(
        self, image: images.ImageSource, *, file_name: str | None = None, content_type: str | None = None
    ) -> UploadedImage:
        """Stores one image on the server, for BatchImageInput(object_key=...). Its file is read in threads."""
        upload = images.Upload(image, file_name, content_type)
        return convert.uploaded_image(
            await self._transfer(
                "UploadImage", lambda timeout_s: self._upload_once(upload, timeout_s), upload.is_repeatable
            )
        )

    async def download_image(self, object_key: str) -> DownloadedImage:
        """Reads one stored image whole. Raises ObjectNotFoundError."""
        return await self._transfer("DownloadImage", lambda timeout_s: self._download_once(object_key, timeout_s))

    async def list_operations(self) -> list[Operation]:
        """The operations that the server offers, by name."""
        answer = await self._unary(self._batches.ListOperations, batch_service_pb2.ListOperationsRequest())
        return [convert.operation(each) for each in answer.operations]

    async def server_info(self) -> ServerInfo:
        """The server's version, limits and health."""
        answer = await self._unary(self._batches.GetServerInfo, batch_service_pb2.GetServerInfoRequest())
        return convert.server_info(answer)

    async def _submit(
        self, options: batch_service_pb2.BatchOptions, items: Iterable[BatchImageInput]
    ) -> types_pb2.BatchSubmissionResult:
        chunks = requests.item_chunks(items)
        first, second = next(chunks, []), next(chunks, None)
        if second is None:
            request = batch_service_pb2.SubmitBatchRequest(options=options, items=first)
            return await self._unary(self._batches.SubmitBatch, request)
        unread: Iterator[list[types_pb2.BatchImageInput]] = chain([first, second], chunks)

        async def attempt(timeout_s: float) -> types_pb2.BatchSubmissionResult:
            nonlocal unread
            taken, unread = unread, requests.item_chunks(items)
            messages = requests.submit_stream(options, taken)
            return await self._send(
                BatchServiceStub(self._stream_channel).SubmitBatchStream, _each(messages), timeout_s
            )

        return await self._transfer("SubmitBatchStream", attempt, is_repeatable=not isinstance(items, Iterator))

    async def _watch(
        self, batch_id: str, progress: WatchProgress, statuses: Iterable[BatchItemStatus]
    ) -> AsyncGenerator[WatchUpdate, None]:
        wanted = tuple(statuses)
        while True:
            failure = None
            request = requests.watch(batch_id, progress.position, wanted)
            call = self._batches.WatchBatch(request, timeout=progress.remaining_s(), metadata=self._metadata)
            try:
                while True:
                    async with asyncio.timeout(self._settings.silence_s):
                        message = await call.read()
                    if not isinstance(message, batch_service_pb2.WatchBatchResponse):
                        break  # grpc.aio.EOF
                    yield progress.received(convert.watch_update(message))
            except TimeoutError:
                failure = None
            except grpc.aio.AioRpcError as error:
                failure = self._failure(error, "WatchBatch")
            finally:
                call.cancel()
            if progress.is_finished or progress.is_expired():
                return
            await asyncio.sleep(progress.pause_s(failure))

    async def _upload_once(self, upload: images.Upload, timeout_s: float) -> image_service_pb2.UploadImageResponse:
        async def messages() -> AsyncIterator[image_service_pb2.UploadImageRequest]:
            yield upload.header
            while chunk := await asyncio.get_running_loop().run_in_executor(self._transfers, read):
                yield images.chunk_request(chunk)

        with upload.open() as file:
            read = partial(file.read, images.CHUNK_BYTES)
            return await self._send(ImageServiceStub(self._stream_channel).UploadImage, messages(), timeout_s)

    async def _download_once(self, object_key: str, timeout_s: float) -> DownloadedImage:
        download = images.Download(object_key)
        request = image_service_pb2.DownloadImageRequest(object_key=object_key)
        async for message in self._images.DownloadImage(request, timeout=timeout_s, metadata=self._metadata):
            download.received(message)
        return download.image()

    async def _unary(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Q, R], request: Q, attempts: CallAttempts | None = None
    ) -> R:
        rpc = type(request).__name__.removesuffix("Request")
        attempts = attempts or CallAttempts(self._settings.timeout_s, self._was_reached)
        return await self._repeat(
            rpc, lambda timeout_s: method(request, timeout=timeout_s, metadata=self._metadata), attempts
        )

    async def _transfer(self, rpc: str, attempt: Callable[[float], Awaitable[R]], is_repeatable: bool = True) -> R:
        attempts = CallAttempts(self._settings.transfer_timeout_s, self._was_reached)
        return await self._repeat(rpc, attempt, attempts, is_repeatable)

    async def _repeat(
        self, rpc: str, attempt: Callable[[float], Awaitable[R]], attempts: CallAttempts, is_repeatable: bool = True
    ) -> R:
        while True:
            try:
                answer = await attempt(attempts.remaining_s())
            except grpc.RpcError as error:
                failure = self._failure(error, rpc)
                if not is_repeatable:
                    raise failure from error
                await asyncio.sleep(attempts.pause_s(failure))
            else:
                self._was_reached = True
                return answer

    async def _send(
        self, method: grpc.StreamUnaryMultiCallable[Q, R], messages: AsyncIterator[Q], timeout_s: float
    ) -> R:
        # A stream of the synchronous API: grpc.aio loses a server's early answer to a stream, such as a refusal of too
        # large an upload, when a write is under way (grpc/grpc#36066).
        in_thread = partial(asyncio.get_running_loop().run_in_executor, self._transfers)
        feed = RequestFeed[Q]()
        call = method.future(feed, timeout=timeout_s, metadata=self._metadata)
        call.add_done_callback(feed.abandon)
        try:
            async for message in messages:
                if not await in_thread(feed.put, message):
                    break  # answered already: by an error, or because the batch exists
            feed.close()
            return await in_thread(call.result)
        except BaseException:
            call.cancel()  # without it, gRPC would half-close and make a batch of what was sent so far
            raise

    def _failure(self, error: grpc.RpcError, rpc: str) -> errors.ImagebatchError:
        return errors.from_rpc_error(error, rpc, self._settings.address)


async def _each(messages: Iterable[Q]) -> AsyncIterator[Q]:
    for message in messages:
        yield message
