"""How the asynchronous client makes its calls: on one channel an event loop, with repeats and this client's errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import grpc
import grpc.aio
from google.protobuf.message import Message

from imagebatch.v1 import batch_service_pb2, image_service_pb2
from imagebatch.v1.batch_service_pb2_grpc import BatchServiceStub
from imagebatch.v1.image_service_pb2_grpc import ImageServiceStub
from imagebatch_client import convert, errors, images, requests, transport
from imagebatch_client.credentials import Credentials
from imagebatch_client.resume import CallAttempts
from imagebatch_client.settings import ConnectionSettings, settings_of
from imagebatch_client.threads import RequestFeed
from imagebatch_client.types import BatchStatusResult, DownloadedImage, ServerInfo, ServerLimits, UploadedImage

Q = TypeVar("Q", bound=Message)
R = TypeVar("R")
A = TypeVar("A")

# Uploads and streamed submits that are under way at one time; more wait.
_MOST_TRANSFERS = 32


class AsyncCalls:
    """What an asynchronous client is made of below its methods."""

    def __init__(self, server: str | ConnectionSettings) -> None:
        self._settings = settings_of(server)
        self._credentials = Credentials(self._settings)
        self._was_reached = False
        self._is_closed = False
        self._limits: ServerLimits | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: grpc.aio.Channel | None = None
        self._stream_channel = transport.open_channel(self._settings)
        self._transfers = ThreadPoolExecutor(_MOST_TRANSFERS, thread_name_prefix="imagebatch-transfer")

    async def _close(self) -> None:
        self._is_closed = True
        self._stream_channel.close()
        self._transfers.shutdown(wait=False, cancel_futures=True)
        if self._channel is not None and self._loop is asyncio.get_running_loop():
            await self._channel.close()

    def _open_channel(self) -> grpc.aio.Channel:
        """Open the running event loop's channel when it is first asked for: a client may be made before its loop."""
        loop = asyncio.get_running_loop()
        if self._channel is None or self._loop is not loop:
            self._loop, self._channel = loop, transport.open_aio_channel(self._settings)
        return self._channel

    async def _unary(self, request: Message, read: Callable[[Any], A], attempts: CallAttempts | None = None) -> A:
        rpc = type(request).__name__.removesuffix("Request")
        attempts = attempts or CallAttempts(self._settings.timeout_s, self._was_reached)

        def attempt(timeout_s: float) -> Awaitable[Any]:
            stub = ImageServiceStub if request.DESCRIPTOR.file is image_service_pb2.DESCRIPTOR else BatchServiceStub
            method: grpc.aio.UnaryUnaryMultiCallable[Message, Any] = getattr(stub(self._open_channel()), rpc)
            return method(request, timeout=timeout_s, metadata=self._credentials.metadata())

        return read(await self._repeat(rpc, attempt, attempts))

    async def _server_info(self) -> ServerInfo:
        info = await self._unary(batch_service_pb2.GetServerInfoRequest(), convert.server_info)
        self._limits = info.limits
        return info

    async def _server_limits(self) -> ServerLimits:
        """Answer the limits, of which the server has been asked once."""
        return self._limits or (await self._server_info()).limits

    async def _status_within(self, batch_id: str | UUID, timeout_s: float) -> BatchStatusResult:
        """One attempt at the batch's status."""
        request = requests.get_status(batch_id)
        answer = await self._repeat(
            "GetBatchStatus",
            lambda left_s: BatchServiceStub(self._open_channel()).GetBatchStatus(
                request, timeout=left_s, metadata=self._credentials.metadata()
            ),
            CallAttempts(min(timeout_s, self._settings.timeout_s), self._was_reached),
            is_repeatable=False,
        )
        return convert.status_result(answer)

    async def _transfer(self, rpc: str, attempt: Callable[[float], Awaitable[R]], is_repeatable: bool = True) -> R:
        attempts = CallAttempts(self._settings.transfer_timeout_s, self._was_reached)
        return await self._repeat(rpc, attempt, attempts, is_repeatable)

    async def _upload(self, upload: images.Upload) -> UploadedImage:
        attempt = partial(self._upload_once, upload)
        return convert.uploaded_image(await self._transfer("UploadImage", attempt, upload.is_repeatable))

    async def _upload_known(self, upload: images.Upload, sha256: str, size_bytes: int) -> UploadedImage:
        """Store a file of this content, and send its bytes only if the server doesn't have them."""
        try:
            if size_bytes > images.CHUNK_BYTES:  # to ask costs less than to send what is there
                with suppress(errors.InvalidRequestError):  # which says that it isn't
                    found = await self._upload(upload.asking(sha256))
                    if found.sha256 == sha256:
                        return found
            return await self._upload(upload.announcing(sha256))
        except errors.InvalidRequestError:  # of an older server, to which a digest in the header is unknown
            return await self._upload(upload)

    async def _upload_once(self, upload: images.Upload, timeout_s: float) -> image_service_pb2.UploadImageResponse:
        async def messages() -> AsyncIterator[image_service_pb2.UploadImageRequest]:
            yield upload.header
            while chunk := await asyncio.get_running_loop().run_in_executor(self._transfers, read):
                yield images.chunk_request(chunk)

        with upload.open() as file:
            read = partial(file.read, images.CHUNK_BYTES)
            return await self._send(ImageServiceStub(self._stream_channel).UploadImage, messages(), timeout_s)

    async def _download_once(
        self, request: image_service_pb2.DownloadImageRequest, timeout_s: float, most_bytes: int | None = None
    ) -> DownloadedImage:
        download = images.Download(request.object_key, most_bytes)
        method = ImageServiceStub(self._open_channel()).DownloadImage
        call = method(request, timeout=timeout_s, metadata=self._credentials.metadata())
        try:
            async for message in call:
                download.received(message)
        finally:
            call.cancel()  # of no effect on one that is over
        return download.image()

    async def _small_images(self, object_keys: Iterable[str], most_bytes: int) -> dict[str, bytes]:
        """Read stored images by their keys, but for those that are larger, or not there any more."""
        found = {}
        for key in object_keys:
            attempt = partial(self._download_once, requests.download(key), most_bytes=most_bytes)
            with suppress(images.LargerImage, errors.ObjectNotFoundError):
                found[key] = (await self._transfer("DownloadImage", attempt)).content
        return found

    async def _repeat(
        self, rpc: str, attempt: Callable[[float], Awaitable[R]], attempts: CallAttempts, is_repeatable: bool = True
    ) -> R:
        while True:
            token = self._credentials.token()
            try:
                with self._closed_channel():
                    answer = await attempt(attempts.remaining_s())
            except grpc.RpcError as error:
                failure = self._failure(error, rpc)
                if not is_repeatable:
                    raise failure from error
                if not self._credentials.is_renewed(failure, token):
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
        call = method.future(feed, timeout=timeout_s, metadata=self._credentials.metadata())
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

    def _closed_channel(self) -> transport.ClosedChannel:
        return transport.ClosedChannel(lambda: self._is_closed)

    def _failure(self, error: grpc.RpcError, rpc: str) -> errors.ImagebatchError:
        if self._is_closed:
            return errors.ClientClosedError()
        return errors.from_rpc_error(error, rpc, self._settings.address, is_tls=self._settings.is_tls)
