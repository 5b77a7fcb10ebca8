"""The synchronous client's methods."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeAlias, Unpack
from uuid import UUID

import grpc

from imagebatch.v1 import batch_service_pb2
from imagebatch_client import convert, errors, files, images, requests, resume
from imagebatch_client.export.export import Export
from imagebatch_client.resume import CallAttempts, ResultsWalk, WatchProgress
from imagebatch_client.settings import DEFAULT_ADDRESS, ConnectionSettings, settings_from_env
from imagebatch_client.sync.batch import Batch
from imagebatch_client.sync.calls import Calls
from imagebatch_client.sync.uploads import upload_all
from imagebatch_client.sync.watch import Watch, WatchCall, updates
from imagebatch_client.threads import Ending
from imagebatch_client.types import (
    BatchExport,
    BatchImageInput,
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

Items: TypeAlias = Iterable[BatchImageInput]
OnProgress: TypeAlias = Callable[[BatchStatusResult], object]
OnUpload: TypeAlias = Callable[[UploadProgress], object]
OnExport: TypeAlias = Callable[[BatchExport], object]


class BatchClient(Calls):
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
        super().__init__(server)

    @classmethod
    def from_env(cls) -> Self:
        """Make a client from the environment: IMAGEBATCH_ and the name of a setting, such as IMAGEBATCH_TOKEN_FILE."""
        return cls(settings_from_env())

    def close(self) -> None:
        """Close the connection. Calls under way, watches too, and later ones raise ClientClosedError."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(
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
        """Submit a batch. Once this answers, the batch is durable and runs to its end by itself.

        `items` are read once and not all kept: more than fit one request are streamed. `request_id` makes a repeat
        safe; absent, one is made, and every error carries it. A submit that was cut is repeated here, except a streamed
        one whose `items` can be iterated only once, such as a generator's. `item_timeout` bounds one attempt of one
        item (seconds, 0.1 to 3600; absent = 60). `output_prefix` is a bucket's prefix that images go to which the
        operation makes, `notify_url` where to post that the batch has ended; raises NotSupportedError if the server
        has no such thing.
        """
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
            requests.check_destinations(options, self.server_info().features)
        try:
            return self._submit(options, items)
        except errors.ImagebatchError as error:
            error.request_id = request_id
            raise

    def batch(self, batch_id: str | UUID) -> Batch:
        """Take the batch of this id, which need not be repeated then. Asks nothing of the server."""
        return Batch(self, requests.identifier(batch_id, "batch_id"))

    def get_status(self, batch_id: str | UUID) -> BatchStatusResult:
        """Read the batch's status and counters. Raises BatchNotFoundError."""
        return self._unary(requests.get_status(batch_id), convert.status_result)

    def get_results(
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
        """One page of the batch's items, in index order, whatever their status. Raises BatchNotFoundError.

        `include_failed=False` (which leaves out failed items only), `statuses`, `item_ids`, `error_codes` and `text`
        (in messages and outputs; A to Z in either case) are filters; with one, the cost of a page grows with `offset`,
        and for a `text` the whole batch is read. A page may hold fewer than `limit` (1 to 1000) items though more
        follow: go on at `offset` plus as many as came, while `pagination.has_more`. Raises NotSupportedError if the
        server is too old for `error_codes` or `text`.
        """
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
            requests.check_search(request, self.server_info().features)
        return self._unary(request, convert.results_page)

    def get_all_results(
        self,
        batch_id: str | UUID,
        include_failed: bool = True,
        page_size: int = 100,
        *,
        statuses: Iterable[BatchItemStatus] = (),
        error_codes: Iterable[ItemErrorCode] = (),
        text: str | None = None,
        offset: int = 0,
    ) -> Iterator[BatchItemResult]:
        """All items of the batch in index order, each once, read page by page as they are asked for.

        `include_failed=False` leaves out failed items; `statuses`, `error_codes` and `text` keep only those. Starts at
        `offset`. Raises BatchNotFoundError when first asked for an item.
        """
        wanted = tuple(requests.iterated(statuses, "statuses"))
        codes = tuple(requests.iterated(error_codes, "error_codes"))
        walk = ResultsWalk(offset, requests.flag(include_failed, "include_failed"))
        while walk.has_more:
            page = self.get_results(
                batch_id, offset=walk.offset, limit=page_size, statuses=wanted, error_codes=codes, text=text
            )
            yield from walk.received(page)

    def watch(
        self,
        batch_id: str | UUID,
        after_sequence: int = 0,
        *,
        statuses: Iterable[BatchItemStatus] = (),
        timeout: float | None = None,
    ) -> Watch[BatchItemResult]:
        """Watch the batch's outcomes as they are recorded, each exactly once, until the batch has ended.

        Resumes by itself where it was when the connection or the server goes away. `after_sequence` is the `sequence`
        of the last outcome that the caller has; `statuses` keeps only those. `timeout` bounds the whole watch (seconds;
        None: as long as it takes). Its `close()` ends it, from any thread. Raises BatchNotFoundError,
        SequenceOutOfRangeError, BatchTimeoutError, and UnavailableError once the server has been away for the settings'
        `reconnect_for_s`.
        """
        return Watch(self._watched(batch_id, after_sequence, statuses, timeout), lambda update: update.results)

    def watch_updates(
        self,
        batch_id: str | UUID,
        after_sequence: int = 0,
        *,
        statuses: Iterable[BatchItemStatus] = (),
        timeout: float | None = None,
    ) -> Watch[WatchUpdate]:
        """As `watch`, message by message: also the statuses (one every 5 s at least) and where to resume."""
        return Watch(self._watched(batch_id, after_sequence, statuses, timeout), lambda update: [update])

    def wait_for_completion(
        self,
        batch_id: str | UUID,
        timeout: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> BatchStatusResult:
        """Wait until the batch has ended, and answer its final status.

        `timeout` is in seconds; None waits for as long as it takes, and 0 looks once. `on_progress` is called with the
        status now, every 5 s, and at the end. Raises BatchTimeoutError (whose message says whether the batch goes on,
        or the server could not be asked), and BatchFailedError if the batch ended failed (not if it ended partially
        completed or cancelled).
        """
        requests.callback(on_progress, "on_progress")
        progress = WatchProgress(0, self._settings, requests.seconds(timeout, "timeout"))
        with Watch(self._updates(batch_id, progress, resume.WAIT_STATUSES), lambda update: [update]) as watched:
            for update in watched:
                if on_progress is not None and update.status is not None:
                    on_progress(update.status)
        if progress.is_finished:
            return resume.ended(self.get_status(batch_id))
        try:
            progress.saw(status := self._status_within(batch_id, resume.LAST_LOOK_S))
        except errors.ImagebatchError as failure:
            raise resume.last_look_failed(str(batch_id), timeout, progress, failure) from failure
        if not status.is_terminal():
            raise resume.timeout_error(str(batch_id), timeout, progress)
        if on_progress is not None:
            on_progress(status)
        return resume.ended(status)

    def cancel(self, batch_id: str | UUID) -> BatchStatusResult:
        """Asks for the batch to be cancelled; items in flight are still recorded. Raises BatchNotFoundError."""
        return self._unary(requests.cancel(batch_id), convert.status_result)

    def pause(self, batch_id: str | UUID) -> BatchStatusResult:
        """Have no more items of the batch begun until it is resumed. Raises BatchNotFoundError, BatchTerminalError."""
        return self._unary(requests.pause(batch_id), convert.status_result)

    def resume(self, batch_id: str | UUID) -> BatchStatusResult:
        """Let a paused batch go on. Raises BatchNotFoundError, BatchTerminalError."""
        return self._unary(requests.resume(batch_id), convert.status_result)

    def update(
        self, batch_id: str | UUID, *, priority: int | None = None, labels: Mapping[str, str] | None = None
    ) -> BatchStatusResult:
        """Change what is given of a running batch; `labels` take the place of all that it has.

        Raises BatchNotFoundError, BatchTerminalError.
        """
        return self._unary(requests.update(batch_id, priority, labels), convert.status_result)

    def retry(
        self,
        batch_id: str | UUID,
        error_codes: Iterable[ItemErrorCode] = (),
        *,
        item_ids: Iterable[str] = (),
        cluster_id: str | None = None,
        request_id: str | UUID | None = None,
    ) -> BatchStatusResult:
        """Run the failed items of an ended batch again: all, or those that match each selector that is given.

        They are the given codes, the items with the given ids, and the cluster, as `list_failure_clusters` names it.

        `request_id` makes a repeat safe: for a day it reopens nothing again. Absent, one is made, and every error
        carries it. Raises BatchNotFoundError; BatchNotRetryableError if the batch was cancelled; RequestIdReusedError
        if that id chose other items; NotSupportedError if the server is too old for `item_ids`, `cluster_id` or
        `request_id`.
        """
        key = requests.own_or_new_request_id(request_id, "request_id")
        request = requests.retry(batch_id, error_codes, item_ids, cluster_id, key)
        try:
            requests.fit_retry(request, self.server_info().features, is_own_id=request_id is not None)
            return self._unary(request, convert.status_result)
        except errors.ImagebatchError as error:
            error.request_id = key
            raise

    def list_failure_clusters(self, batch_id: str | UUID, *, page_size: int = 50) -> Iterator[FailureCluster]:
        """List what the batch's failed items have in common, the largest clusters first, read page by page.

        Raises BatchNotFoundError when first asked for a cluster.
        """
        request = requests.list_failure_clusters(batch_id, page_size)
        while True:
            page = self._unary(request, convert.clusters_page)
            yield from page.clusters
            if not page.next_token:
                return
            request.page_token = page.next_token

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
            page = self._unary(request, convert.batches_page)
            yield from page.batches
            if not page.next_token:
                return
            request.page_token = page.next_token

    def delete(self, batch_id: str | UUID) -> None:
        """Delete an ended batch with its results. Raises BatchNotFoundError, BatchNotTerminalError."""
        attempts = CallAttempts(self._settings.timeout_s, self._was_reached)
        try:
            self._unary(requests.delete(batch_id), convert.nothing, attempts)
        except errors.BatchNotFoundError:
            if not attempts.is_repeat:
                raise

    def upload_image(
        self, image: images.ImageSource, *, file_name: str | None = None, content_type: str | None = None
    ) -> UploadedImage:
        """Store one image on the server, for BatchImageInput(object_key=...).

        `image` is a path, bytes, a binary file object, an image of Pillow's, or an array of uint8 (height, width and
        channels). `file_name` and `content_type` are hints, taken from the path if absent. Any bytes are stored;
        whether they are an image is the outcome of the item that uses them. Raises LimitExceededError for too large a
        file, and OSError if it can't be read.
        """
        return self._upload(images.Upload(image, file_name, content_type))

    def upload_files(self, paths: Iterable[files.AnyPath], *, on_upload: OnUpload | None = None) -> list[UploadedImage]:
        """Store image files on the server, several at a time, and answer in their order.

        What the server has already is not sent again, so that repeating an interrupted upload goes on where it was.
        `on_upload` is called after each file, from another thread. Raises InvalidRequestError, before anything is sent,
        with every file that can't be read or is larger than the server takes; and the first error of an upload.
        """
        requests.callback(on_upload, "on_upload")
        found = files.image_files(paths)
        if not found:
            return []
        sizes = files.sizes_of(found, self._server_limits().max_image_bytes)
        return upload_all(found, sizes, self._upload_known, files.Progress(sizes, on_upload))

    def submit_files(
        self,
        operation: str,
        paths: Iterable[files.AnyPath],
        *,
        on_upload: OnUpload | None = None,
        **options: Unpack[SubmitOptions],
    ) -> BatchSubmissionResult:
        """Upload image files as `upload_files` does, and submit them with the options of `submit`.

        An item's `item_id` is made of its file's name, which its metadata has as `file_name`.
        """
        found = files.image_files(paths)
        items = files.items_of(found, self.upload_files(found, on_upload=on_upload))
        return self.submit(operation, items, **options)

    def create_upload_url(self, size_bytes: int, content_type: str = "", file_name: str = "") -> UploadUrl:
        """Ask for a URL to which somebody else, such as a browser, may upload one image of this size and type.

        Raises NotSupportedError where the server has no HTTP port.
        """
        request = requests.create_upload_url(size_bytes, content_type, file_name)
        return self._unary(request, convert.upload_url)

    def download_image(self, object_key: str) -> DownloadedImage:
        """Read one stored image whole. Raises ObjectNotFoundError."""
        request = requests.download(object_key)
        return self._transfer("DownloadImage", partial(self._download_once, request))

    def export(
        self,
        batch_id: str | UUID,
        path: str | os.PathLike[str],
        *,
        replace: bool = False,
        on_export: OnExport | None = None,
    ) -> BatchExport:
        """Write all items of the batch, as they are now, to a file: .parquet, .csv, .jsonl or .html, by its name.

        They are in index order, those without an outcome too. What is written stands in a folder, `path` with `.part`
        after it, until it is whole: an export that was interrupted is repeated, and goes on where it was. Memory does
        not grow with the batch, except that a page of HTML has 10,000 items at most. With `replace`, it takes the place
        of a file that is there. `on_export` is called after each page of items. Raises BatchNotFoundError;
        InvalidRequestError for a `path` that can't be exported to, or that needs PyArrow
        (`imagebatch-client[export]`); and OSError if the disk is full.
        """
        batch_id = requests.identifier(batch_id, "batch_id")
        requests.callback(on_export, "on_export")
        with Export(batch_id, path, replaces=requests.flag(replace, "replace")) as export:
            if not export.is_begun:
                export.begin(self.get_status(batch_id), self.list_operations())
            while export.has_more:
                page = self.get_results(batch_id, offset=export.offset, limit=export.page_size)
                progress = export.write(page, self._small_images(export.images_of(page), export.most_image_bytes))
                if on_export is not None:
                    on_export(progress)
            return export.finish()

    def list_operations(self) -> list[Operation]:
        """List the operations that the server offers, by name."""
        return self._unary(batch_service_pb2.ListOperationsRequest(), convert.operations)

    def server_info(self) -> ServerInfo:
        """Ask for the server's version, limits and health."""
        return self._server_info()

    def get_usage(self, day_from: date | str | None = None, day_before: date | str | None = None) -> list[DailyUsage]:
        """Tell what the caller's tenant has used, by day and operation; what was deleted since then counts too.

        Days are UTC, `day_before` is not included, and they are 366 at most; absent: the 30 days up to today.
        """
        return self._unary(requests.get_usage(day_from, day_before), convert.usage)

    def delete_tenant(self, tenant: str) -> None:
        """Remove a tenant whole, hidden at once: batches, results, images, usage. For operators. Safe to repeat."""
        self._unary(requests.delete_tenant(tenant), convert.nothing)

    def _watched(
        self,
        batch_id: str | UUID,
        after_sequence: int,
        statuses: Iterable[BatchItemStatus],
        timeout: float | None,
    ) -> Callable[[Ending], Iterator[WatchUpdate]]:
        """As `_updates`, for a watch of the caller's own, whose timeout is an error."""
        progress = WatchProgress(after_sequence, self._settings, requests.seconds(timeout, "timeout"))
        begin = self._updates(batch_id, progress, statuses)

        def watched(ending: Ending) -> Iterator[WatchUpdate]:
            yield from begin(ending)
            if not (progress.is_finished or ending.is_closed):
                raise resume.timeout_error(str(batch_id), timeout, progress)

        return watched

    def _updates(
        self, batch_id: str | UUID, progress: WatchProgress, statuses: Iterable[BatchItemStatus]
    ) -> Callable[[Ending], Iterator[WatchUpdate]]:
        wanted = tuple(requests.iterated(statuses, "statuses"))
        token: str | None = None

        def open_stream(position: int, left_s: float | None) -> WatchCall:
            nonlocal token
            token = self._credentials.token()
            return self._watch_call(requests.watch(batch_id, position, wanted), left_s)

        def failed(error: grpc.RpcError) -> errors.ImagebatchError | None:
            failure = self._failure(error, "WatchBatch")
            return None if self._credentials.is_renewed(failure, token) else failure

        return partial(updates, open_stream, failed, progress, self._settings.silence_s)
