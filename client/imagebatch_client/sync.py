"""The synchronous client."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from itertools import chain
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2
from imagebatch.v1.batch_service_pb2_grpc import BatchServiceStub
from imagebatch.v1.image_service_pb2_grpc import ImageServiceStub
from imagebatch_client import convert, errors, images, requests, resume, transport
from imagebatch_client.resume import CallAttempts, ResultsWalk, WatchProgress
from imagebatch_client.threads import RequestFeed, SilenceWatchdog
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


class BatchClient:
    """A client of one server, safe to share between threads.

    Every method raises a subclass of ImagebatchError. Calls that are safe to repeat are repeated, with pauses, while
    the server is unavailable: until the settings' `timeout_s` if the server was reached before, else five times. Times
    given as numbers are seconds.

        with BatchClient("127.0.0.1:50051") as client:
            batch = client.submit("describe", [BatchImageInput(image_url="https://example.com/cat.jpg")])
            for result in client.watch(batch.batch_id):
                print(result.item_index, result.description or result.error_message)
    """

    def __init__(self, server: str | ConnectionSettings = DEFAULT_ADDRESS) -> None:
        """`server` is an address, "host:port", or settings with a token, TLS or other timeouts."""
        self._settings = server if isinstance(server, ConnectionSettings) else ConnectionSettings(server)
        self._channel = transport.open_channel(self._settings)
        self._metadata = transport.call_metadata(self._settings)
        self._was_reached = False
        self._batches = BatchServiceStub(self._channel)
        self._images = ImageServiceStub(self._channel)

    @classmethod
    def from_env(cls) -> Self:
        """A client set up by IMAGEBATCH_ADDRESS, IMAGEBATCH_TOKEN, IMAGEBATCH_TLS and IMAGEBATCH_TLS_CA."""
        return cls(transport.settings_from_env())

    def close(self) -> None:
        """Closes the connection. Calls under way are cancelled."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(
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
        """Submits a batch. Once this answers, the batch is durable and runs to its end by itself.

        `items` are read once and not all kept: more than fit one request are streamed. `request_id` makes a repeat
        safe; absent, one is made, and every error carries it. A submit that was cut is repeated here, except a streamed
        one whose `items` can be iterated only once, such as a generator's. `item_timeout` bounds one attempt of one
        item (seconds, 0.1 to 3600; absent = 60).
        """
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
            return convert.submission_result(self._submit(options, items))
        except errors.ImagebatchError as error:
            error.request_id = request_id
            raise

    def get_status(self, batch_id: str) -> BatchStatusResult:
        """The batch's status and counters. Raises BatchNotFoundError."""
        request = batch_service_pb2.GetBatchStatusRequest(batch_id=batch_id)
        return convert.status_result(self._unary(self._batches.GetBatchStatus, request))

    def get_results(
        self,
        batch_id: str,
        include_failed: bool = True,
        offset: int = 0,
        limit: int = 100,
        *,
        statuses: Iterable[BatchItemStatus] = (),
        item_ids: Iterable[str] = (),
    ) -> BatchResults:
        """One page of the batch's items, in index order, whatever their status. Raises BatchNotFoundError.

        `include_failed=False` (which leaves out failed items only), `statuses` and `item_ids` are filters; with one,
        the cost of a page grows with `offset`. A page may hold fewer than `limit` (1 to 1000) items though more follow:
        go on at `offset` plus as many as came, while `pagination.has_more`.
        """
        request = requests.get_results(
            batch_id,
            include_failed=include_failed,
            offset=offset,
            limit=limit,
            statuses=statuses,
            item_ids=item_ids,
        )
        return convert.results_page(self._unary(self._batches.GetBatchResults, request))

    def get_all_results(
        self,
        batch_id: str,
        include_failed: bool = True,
        page_size: int = 100,
        *,
        statuses: Iterable[BatchItemStatus] = (),
        offset: int = 0,
    ) -> Iterator[BatchItemResult]:
        """All items of the batch in index order, each once, read page by page as they are asked for.

        `include_failed=False` leaves out failed items; `statuses` keeps only those. Starts at `offset`. Raises
        BatchNotFoundError when first asked for an item.
        """
        wanted = tuple(statuses)
        walk = ResultsWalk(offset, include_failed)
        while walk.has_more:
            page = self.get_results(batch_id, offset=walk.offset, limit=page_size, statuses=wanted)
            yield from walk.received(page)

    def watch(
        self, batch_id: str, after_sequence: int = 0, *, statuses: Iterable[BatchItemStatus] = ()
    ) -> Generator[BatchItemResult, None, None]:
        """The batch's outcomes as they are recorded, each exactly once, until the batch has ended.

        Resumes by itself where it was when the connection or the server goes away. `after_sequence` is the `sequence`
        of the last outcome that the caller has; `statuses` keeps only those. Raises BatchNotFoundError,
        SequenceOutOfRangeError, and UnavailableError once the server has been away for the settings' `reconnect_for_s`.
        """
        for update in self.watch_updates(batch_id, after_sequence, statuses=statuses):
            yield from update.results

    def watch_updates(
        self, batch_id: str, after_sequence: int = 0, *, statuses: Iterable[BatchItemStatus] = ()
    ) -> Generator[WatchUpdate, None, None]:
        """As `watch`, message by message: also the statuses (one every 5 s at least) and where to resume."""
        return self._watch(batch_id, WatchProgress(after_sequence, self._settings), statuses)

    def wait_for_completion(
        self,
        batch_id: str,
        timeout: float | None = None,
        on_progress: Callable[[BatchStatusResult], object] | None = None,
    ) -> BatchStatusResult:
        """Waits until the batch has ended, and answers its final status.

        `timeout` is in seconds; None waits for as long as it takes. `on_progress` is called with the status now, every
        5 s, and at the end. Raises BatchTimeoutError, and BatchFailedError if the batch ended failed (not if it ended
        partially completed or cancelled).
        """
        progress = WatchProgress(0, self._settings, timeout)
        with closing(self._watch(batch_id, progress, resume.WAIT_STATUSES)) as updates:
            for update in updates:
                if on_progress is not None and update.status is not None:
                    on_progress(update.status)
        if not progress.is_finished:
            raise resume.timeout_error(batch_id, timeout, progress)
        return resume.ended(self.get_status(batch_id))

    def cancel(self, batch_id: str) -> BatchStatusResult:
        """Asks for the batch to be cancelled; items in flight are still recorded. Raises BatchNotFoundError."""
        request = batch_service_pb2.CancelBatchRequest(batch_id=batch_id)
        return convert.status_result(self._unary(self._batches.CancelBatch, request))

    def retry(self, batch_id: str, error_codes: Iterable[ItemErrorCode] = ()) -> BatchStatusResult:
        """Runs the failed items of an ended batch again, all or those of the given codes.

        Raises BatchNotFoundError, and BatchNotRetryableError if the batch was cancelled.
        """
        request = requests.retry(batch_id, error_codes)
        return convert.status_result(self._unary(self._batches.RetryBatch, request))

    def list_batches(
        self,
        *,
        statuses: Iterable[BatchStatus] = (),
        operation: str | None = None,
        labels: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int = 50,
    ) -> Iterator[BatchStatusResult]:
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
            page = self._unary(self._batches.ListBatches, request)
            yield from map(convert.status_result, page.batches)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def delete(self, batch_id: str) -> None:
        """Deletes an ended batch with its results. Raises BatchNotFoundError, BatchNotTerminalError."""
        attempts = CallAttempts(self._settings.timeout_s, self._was_reached)
        request = batch_service_pb2.DeleteBatchRequest(batch_id=batch_id)
        try:
            self._unary(self._batches.DeleteBatch, request, attempts)
        except errors.BatchNotFoundError:
            if not attempts.is_repeat:
                raise

    def upload_image(
        self, image: images.ImageSource, *, file_name: str | None = None, content_type: str | None = None
    ) -> UploadedImage:
        """Stores one image on the server, for BatchImageInput(object_key=...).

        `image` is a path, bytes, or a binary file object. `file_name` and `content_type` are hints, taken from the path
        if absent. Any bytes are stored; whether they are an image is the outcome of the item that uses them. Raises
        LimitExceededError for too large a file, and OSError if it can't be read.
        """
        upload = images.Upload(image, file_name, content_type)
        return convert.uploaded_image(
            self._transfer("UploadImage", lambda timeout_s: self._upload_once(upload, timeout_s), upload.is_repeatable)
        )

    def download_image(self, object_key: str) -> DownloadedImage:
        """Reads one stored image whole. Raises ObjectNotFoundError."""
        return self._transfer("DownloadImage", lambda timeout_s: self._download_once(object_key, timeout_s))

    def list_operations(self) -> list[Operation]:
        """The operations that the server offers, by name."""
        answer = self._unary(self._batches.ListOperations, batch_service_pb2.ListOperationsRequest())
        return [convert.operation(each) for each in answer.operations]

    def server_info(self) -> ServerInfo:
        """The server's version, limits and health."""
        answer = self._unary(self._batches.GetServerInfo, batch_service_pb2.GetServerInfoRequest())
        return convert.server_info(answer)

    def _submit(
        self, options: batch_service_pb2.BatchOptions, items: Iterable[BatchImageInput]
    ) -> types_pb2.BatchSubmissionResult:
        chunks = requests.item_chunks(items)
        first, second = next(chunks, []), next(chunks, None)
        if second is None:
            request = batch_service_pb2.SubmitBatchRequest(options=options, items=first)
            return self._unary(self._batches.SubmitBatch, request)
        unread: Iterator[list[types_pb2.BatchImageInput]] = chain([first, second], chunks)

        def attempt(timeout_s: float) -> types_pb2.BatchSubmissionResult:
            nonlocal unread
            taken, unread = unread, requests.item_chunks(items)
            return self._send(self._batches.SubmitBatchStream, requests.submit_stream(options, taken), timeout_s)

        return self._transfer("SubmitBatchStream", attempt, is_repeatable=not isinstance(items, Iterator))

    def _watch(
        self, batch_id: str, progress: WatchProgress, statuses: Iterable[BatchItemStatus]
    ) -> Generator[WatchUpdate, None, None]:
        wanted = tuple(statuses)
        while True:
            failure = None
            request = requests.watch(batch_id, progress.position, wanted)
            call = self._batches.WatchBatch(request, timeout=progress.remaining_s(), metadata=self._metadata)
            watchdog = SilenceWatchdog(self._settings.silence_s, call.cancel)
            try:
                while True:
                    with watchdog:
                        message = next(call, None)
                    if message is None:
                        break
                    yield progress.received(convert.watch_update(message))
            except grpc.RpcError as error:
                failure = None if watchdog.has_fired else self._failure(error, "WatchBatch")
            finally:
                watchdog.stop()
                call.cancel()
            if progress.is_finished or progress.is_expired():
                return
            time.sleep(progress.pause_s(failure))

    def _upload_once(self, upload: images.Upload, timeout_s: float) -> image_service_pb2.UploadImageResponse:
        with upload.open() as file:
            chunks = iter(lambda: file.read(images.CHUNK_BYTES), b"")
            messages = chain([upload.header], map(images.chunk_request, chunks))
            return self._send(self._images.UploadImage, messages, timeout_s)

    def _download_once(self, object_key: str, timeout_s: float) -> DownloadedImage:
        download = images.Download(object_key)
        request = image_service_pb2.DownloadImageRequest(object_key=object_key)
        for message in self._images.DownloadImage(request, timeout=timeout_s, metadata=self._metadata):
            download.received(message)
        return download.image()

    def _unary(self, method: grpc.UnaryUnaryMultiCallable[Q, R], request: Q, attempts: CallAttempts | None = None) -> R:
        rpc = type(request).__name__.removesuffix("Request")
        attempts = attempts or CallAttempts(self._settings.timeout_s, self._was_reached)
        return self._repeat(
            rpc, lambda timeout_s: method(request, timeout=timeout_s, metadata=self._metadata), attempts
        )

    def _transfer(self, rpc: str, attempt: Callable[[float], R], is_repeatable: bool = True) -> R:
        attempts = CallAttempts(self._settings.transfer_timeout_s, self._was_reached)
        return self._repeat(rpc, attempt, attempts, is_repeatable)

    def _repeat(self, rpc: str, attempt: Callable[[float], R], attempts: CallAttempts, is_repeatable: bool = True) -> R:
        while True:
            try:
                answer = attempt(attempts.remaining_s())
            except grpc.RpcError as error:
                failure = self._failure(error, rpc)
                if not is_repeatable:
                    raise failure from error
                time.sleep(attempts.pause_s(failure))
            else:
                self._was_reached = True
                return answer

    def _send(self, method: grpc.StreamUnaryMultiCallable[Q, R], messages: Iterator[Q], timeout_s: float) -> R:
        feed = RequestFeed[Q]()
        call = method.future(feed, timeout=timeout_s, metadata=self._metadata)
        call.add_done_callback(feed.abandon)
        try:
            for message in messages:
                if not feed.put(message):
                    break  # answered already: by an error, or because the batch exists
            feed.close()
            return call.result()
        except BaseException:
            call.cancel()  # without it, gRPC would half-close and make a batch of what was sent so far
            raise

    def _failure(self, error: grpc.RpcError, rpc: str) -> errors.ImagebatchError:
        return errors.from_rpc_error(error, rpc, self._settings.address)
