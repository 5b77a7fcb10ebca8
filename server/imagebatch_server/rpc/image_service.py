"""ImageService: uploads and downloads of stored images."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from grpc import aio

from imagebatch.v1 import image_service_pb2, image_service_pb2_grpc
from imagebatch_server.batches.errors import InvalidRequest, NotSupported, Violation
from imagebatch_server.batches.uploads import Uploads
from imagebatch_server.rpc.auth import tenant_of

Context = aio.ServicerContext[Any, Any]


class ImageServicer(image_service_pb2_grpc.ImageServiceServicer):
    """Images over gRPC."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    async def UploadImage(
        self, requests: AsyncIterator[image_service_pb2.UploadImageRequest], context: Context
    ) -> image_service_pb2.UploadImageResponse:
        first = await anext(requests, None)
        if first is None or not first.HasField("header"):
            raise InvalidRequest([Violation("header", "must come in the first message, before any chunk")])
        stored, header = await self._uploads.store(
            tenant_of(context), first.header.content_type, first.header.file_name, _chunks(requests)
        )
        response = image_service_pb2.UploadImageResponse(
            object_key=stored.object_key, sha256=stored.sha256, size_bytes=stored.size_bytes
        )
        if header is not None:
            response.width, response.height, response.format = header.width, header.height, header.format
        return response

    async def DownloadImage(
        self, request: image_service_pb2.DownloadImageRequest, context: Context
    ) -> AsyncIterator[image_service_pb2.DownloadImageResponse]:
        stored = await self._uploads.find(tenant_of(context), request.object_key)
        yield image_service_pb2.DownloadImageResponse(
            header=image_service_pb2.DownloadImageHeader(
                content_type=stored.content_type,
                file_name=stored.file_name,
                sha256=stored.sha256,
                size_bytes=stored.size_bytes,
            )
        )
        chunks = self._uploads.read(stored)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield image_service_pb2.DownloadImageResponse(chunk=chunk)

    async def CreateUploadUrl(
        self, request: image_service_pb2.CreateUploadUrlRequest, context: Context
    ) -> image_service_pb2.CreateUploadUrlResponse:
        raise NotSupported("CreateUploadUrl", "this server's store can't sign URLs: upload by UploadImage")


async def _chunks(requests: AsyncIterator[image_service_pb2.UploadImageRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.HasField("header"):
            raise InvalidRequest([Violation("header", "must come once, in the first message")])
        yield request.chunk
