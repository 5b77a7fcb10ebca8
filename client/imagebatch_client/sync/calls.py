"""How the synchronous client makes its calls: on one channel, with repeats, and with this client's errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID

import grpc
from google.protobuf.message import Message

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2
from imagebatch.v1.batch_service_pb2_grpc import BatchServiceStub
from imagebatch.v1.image_service_pb2_grpc import ImageServiceStub
from imagebatch_client import convert, errors, images, requests, transport
from imagebatch_client.credentials import Credentials
from imagebatch_client.resume import CallAttempts
from imagebatch_client.settings import ConnectionSettings, settings_of
from imagebatch_client.sync.watch import WatchCall
from imagebatch_client.threads import Ending, RequestFeed
from imagebatch_client.types import (
    BatchImageInput,
    BatchStatusResult,
    BatchSubmissionResult,
    DownloadedImage,
    ServerInfo,
    ServerLimits,
    UploadedImage,
)

Q = TypeVar("Q", bound=Message)
R = TypeVar("R")
A = TypeVar("A")


class Calls:
    """What a client is made of below its methods."""

    def __init__(self, server: str | ConnectionSettings) -> None:
        self._settings = settings_of(server)
        self._channel = transport.open_channel(self._settings)
        self._credentials = Credentials(self._settings)
        self._was_reached = False
        self._is_closed = False
        self._limits: ServerLimits | None = None
        self._batches = BatchServiceStub(self._channel)
        self._images = ImageServiceStub(self._channel)

    def _close(self) -> None:
        self._is_closed = True
        self._channel.close()

    def _unary(self, request: Message, read: Callable[[Any], A], attempts: CallAttempts | None = None) -> A:
        rpc = type(request).__name__.removesuffix("Request")
        is_of_images = request.DESCRIPTOR.file is image_service_pb2.DESCRIPTOR
        method: grpc.UnaryUnaryMultiCallable[Message, Any] = getattr(
            self._images if is_of_images else self._batches, rpc
        )
        attempts = attempts or CallAttempts(self._settings.timeout_s, self._was_reached)

        def attempt(timeout_s: float) -> Any:
            return method(request, timeout=timeout_s, metadata=self._credentials.metadata())

        return read(self._repeat(rpc, attempt, attempts))

    def _server_info(self) -> ServerInfo:
        info = self._unary(batch_service_pb2.GetServerInfoRequest(), convert.server_info)
        self._limits = info.limits
        return info

    def _server_limits(self) -> ServerLimits:
        """Answer the limits, of which the server has been asked once."""
        return self._limits or (self._server_info()).limits

    def _status_within(self, batch_id: str | UUID, timeout_s: float) -> BatchStatusResult:
        """One attempt at the batch's status."""
        request = requests.get_status(batch_id)
        answer = self._repeat(
            "GetBatchStatus",
            lambda left_s: self._batches.GetBatchStatus(request, timeout=left_s, metadata=self._credentials.metadata()),
            CallAttempts(min(timeout_s, self._settings.timeout_s), self._was_reached),
            is_repeatable=False,
        )
        return convert.status_result(answer)

    def _submit(
        self, options: batch_service_pb2.BatchOptions, items: Iterable[BatchImageInput]
    ) -> BatchSubmissionResult:
        chunks = requests.item_chunks(items)
        first, second = next(chunks, []), next(chunks, None)
        if second is None:
            request = batch_service_pb2.SubmitBatchRequest(options=options, items=first)
            return self._unary(request, convert.submission_result)
        unread: Iterator[list[types_pb2.BatchImageInput]] = chain([first, second], chunks)

        def attempt(timeout_s: float) -> types_pb2.BatchSubmissionResult:
            nonlocal unread
            taken, unread = unread, requests.item_chunks(items)
            messages = chain([requests.stream_options(options)], map(requests.stream_items, taken))
            return self._send(self._batches.SubmitBatchStream, messages, timeout_s)

        is_repeatable = not isinstance(items, Iterator)
        return convert.submission_result(self._transfer("SubmitBatchStream", attempt, is_repeatable))

    def _watch_call(self, request: batch_service_pb2.WatchBatchRequest, timeout_s: float | None) -> WatchCall:
        with self._closed_channel():
            return self._batches.WatchBatch(request, timeout=timeout_s, metadata=self._credentials.metadata())

    def _transfer(
        self, rpc: str, attempt: Callable[[float], R], is_repeatable: bool = True, ending: Ending | None = None
    ) -> R:
        attempts = CallAttempts(self._settings.transfer_timeout_s, self._was_reached)
        return self._repeat(rpc, attempt, attempts, is_repeatable, ending)

    def _upload(self, upload: images.Upload, ending: Ending | None = None) -> UploadedImage:
        attempt = partial(self._upload_once, upload, ending)
        return convert.uploaded_image(self._transfer("UploadImage", attempt, upload.is_repeatable, ending))

    def _upload_known(self, upload: images.Upload, sha256: str, size_bytes: int, ending: Ending) -> UploadedImage:
        """Store a file of this content, and send its bytes only if the server doesn't have them."""
        try:
            if size_bytes > images.CHUNK_BYTES:  # to ask costs less than to send what is there
                with suppress(errors.InvalidRequestError):  # which says that it isn't
                    found = self._upload(upload.asking(sha256), ending)
                    if found.sha256 == sha256:
                        return found
            return self._upload(upload.announcing(sha256), ending)
        except errors.InvalidRequestError:  # of an older server, to which a digest in the header is unknown
            return self._upload(upload, ending)

    def _upload_once(
        self, upload: images.Upload, ending: Ending | None, timeout_s: float
    ) -> image_service_pb2.UploadImageResponse:
        with upload.open() as file:
            chunks = iter(lambda: file.read(images.CHUNK_BYTES), b"")
            messages = chain([upload.header], map(images.chunk_request, chunks))
            return self._send(self._images.UploadImage, messages, timeout_s, ending)

    def _download_once(
        self, request: image_service_pb2.DownloadImageRequest, timeout_s: float, most_bytes: int | None = None
    ) -> DownloadedImage:
        download = images.Download(request.object_key, most_bytes)
        call = self._images.DownloadImage(request, timeout=timeout_s, metadata=self._credentials.metadata())
        try:
            for message in call:
                download.received(message)
        finally:
            call.cancel()  # of no effect on one that is over
        return download.image()

    def _small_images(self, object_keys: Iterable[str], most_bytes: int) -> dict[str, bytes]:
        """Read stored images by their keys, but for those that are larger, or not there any more."""
        found = {}
        for key in object_keys:
            attempt = partial(self._download_once, requests.download(key), most_bytes=most_bytes)
            with suppress(images.LargerImage, errors.ObjectNotFoundError):
                found[key] = self._transfer("DownloadImage", attempt).content
        return found

    def _repeat(
        self,
        rpc: str,
        attempt: Callable[[float], R],
        attempts: CallAttempts,
        is_repeatable: bool = True,
        ending: Ending | None = None,
    ) -> R:
        pause = time.sleep if ending is None else ending.pause
        while True:
            token = self._credentials.token()
            try:
                with self._closed_channel():
                    answer = attempt(attempts.remaining_s())
            except grpc.RpcError as error:
                failure = self._failure(error, rpc)
                if not is_repeatable:
                    raise failure from error
                if not self._credentials.is_renewed(failure, token):
                    pause(attempts.pause_s(failure))
            else:
                self._was_reached = True
                return answer

    def _send(
        self,
        method: grpc.StreamUnaryMultiCallable[Q, R],
        messages: Iterator[Q],
        timeout_s: float,
        ending: Ending | None = None,
    ) -> R:
        feed = RequestFeed[Q]()
        call = method.future(feed, timeout=timeout_s, metadata=self._credentials.metadata())
        call.add_done_callback(feed.abandon)
        if ending is not None:
            call.add_done_callback(ending.over)
            ending.began(call)
        try:
            for message in messages:
                if not feed.put(message):
                    break  # answered already: by an error, or because the batch exists
            feed.close()
            return call.result()
        except BaseException:
            call.cancel()  # without it, gRPC would half-close and make a batch of what was sent so far
            raise

    def _closed_channel(self) -> transport.ClosedChannel:
        return transport.ClosedChannel(lambda: self._is_closed)

    def _failure(self, error: grpc.RpcError, rpc: str) -> errors.ImagebatchError:
        if self._is_closed:
            return errors.ClientClosedError()
        return errors.from_rpc_error(error, rpc, self._settings.address, is_tls=self._settings.is_tls)
