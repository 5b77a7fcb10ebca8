"""ImageService: uploads and downloads of stored images."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from imagebatch.v1 import image_service_pb2
from imagebatch_server.batches.awaited_uploads import AwaitedUploads
from imagebatch_server.batches.errors import InvalidRequest, NotSupported, Violation
from imagebatch_server.batches.uploads import Uploads
from imagebatch_server.rpc.call import Call


class ImageServicer:
    """Images."""

    def __init__(self, uploads: Uploads, awaited: AwaitedUploads | None) -> None:
        """Without `awaited`, nothing signs URLs for uploads."""
        self._uploads = uploads
        self._awaited = awaited

    async def UploadImage(
        self, requests: AsyncIterator[image_service_pb2.UploadImageRequest], call: Call
    ) -> image_service_pb2.UploadImageResponse:
        first = await anext(requests, None)
        if first is None or not first.HasField("header"):
            raise InvalidRequest([Violation("header", "must come in the first message, before any chunk")])
        stored, header = await self._uploads.store(
            call.tenant,
            first.header.content_type,
            first.header.file_name,
            first.header.sha256 if first.header.HasField("sha256") else None,
            _chunks(requests),
        )
        response = image_service_pb2.UploadImageResponse(
            object_key=stored.object_key, sha256=stored.sha256, size_bytes=stored.size_bytes
        )
        if header is not None:
            response.width, response.height, response.format = header.width, header.height, header.format
        return response

    async def DownloadImage(
        self, request: image_service_pb2.DownloadImageRequest, call: Call
    ) -> AsyncIterator[image_service_pb2.DownloadImageResponse]:
        stored = await self._uploads.find(call.tenant, request.object_key)
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
        self, request: image_service_pb2.CreateUploadUrlRequest, call: Call
    ) -> image_service_pb2.CreateUploadUrlResponse:
        if self._awaited is None:
            alternative = "it has no HTTP port (IMAGEBATCH_HTTP_ADDRESS), nor a bucket to sign for: use UploadImage"
            raise NotSupported("CreateUploadUrl", alternative)
        promised, url = await self._awaited.promise(
            call.tenant, request.content_type, request.file_name, request.size_bytes
        )
        response = image_service_pb2.CreateUploadUrlResponse(
            object_key=promised.object_key, url=url.url, headers=url.headers
        )
        response.expires_at.FromDatetime(url.expires_at)
        return response


async def _chunks(requests: AsyncIterator[image_service_pb2.UploadImageRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.HasField("header"):
            raise InvalidRequest([Violation("header", "must come once, in the first message")])
        yield request.chunk
