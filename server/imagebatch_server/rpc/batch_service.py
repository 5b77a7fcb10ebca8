"""BatchService: parses, delegates, renders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from grpc import aio

from imagebatch.v1 import batch_service_pb2, batch_service_pb2_grpc, types_pb2
from imagebatch_server.batches.control import Batches
from imagebatch_server.batches.submission import Submission
from imagebatch_server.batches.watcher import Watchers
from imagebatch_server.rpc import parse, render
from imagebatch_server.rpc.auth import tenant_of
from imagebatch_server.rpc.catalog import Catalog

Context = aio.ServicerContext[Any, Any]

MAX_RESPONSE_BYTES = 3 * 1024 * 1024
RESULTS_BYTES = MAX_RESPONSE_BYTES - 64 * 1024
"""What results may take of a response, leaving room for a status with its labels."""


class BatchServicer(batch_service_pb2_grpc.BatchServiceServicer):
    """Batches over gRPC. Responses full of results are handed over as bytes, which the interceptor lets pass."""

    def __init__(
        self,
        submission: Submission,
        batches: Batches,
        watchers: Watchers,
        catalog: Catalog,
        result: render.ResultRenderer,
    ) -> None:
        self._submission = submission
        self._batches = batches
        self._watchers = watchers
        self._catalog = catalog
        self._result = result

    async def SubmitBatch(
        self, request: batch_service_pb2.SubmitBatchRequest, context: Context
    ) -> types_pb2.BatchSubmissionResult:
        batch = await self._submission.submit(
            tenant_of(context),
            parse.options(request.options),
            parse.items(request.items),
            content_sha256=parse.content_sha256(request),
        )
        return render.submission(batch)

    async def SubmitBatchStream(
        self, requests: AsyncIterator[batch_service_pb2.SubmitBatchStreamRequest], context: Context
    ) -> types_pb2.BatchSubmissionResult:
        options = await parse.first_options(requests)
        batch = await self._submission.submit_stream(
            tenant_of(context),
            parse.options(options),
            parse.item_chunks(requests),
            content_sha256=parse.content_sha256(batch_service_pb2.SubmitBatchStreamRequest(options=options)),
        )
        return render.submission(batch)

    async def GetBatchStatus(
        self, request: batch_service_pb2.GetBatchStatusRequest, context: Context
    ) -> types_pb2.BatchStatusResult:
        batch = await self._batches.get(tenant_of(context), parse.batch_id(request.batch_id))
        return render.status(batch, with_parameters=True)

    async def GetBatchResults(  # type: ignore[override]  # the page's bytes stand for it
        self, request: batch_service_pb2.GetBatchResultsRequest, context: Context
    ) -> bytes:
        limit = request.limit or parse.DEFAULT_PAGE_LIMIT
        batch, total, results = await self._batches.page(
            tenant_of(context), parse.batch_id(request.batch_id), parse.item_filter(request), request.offset, limit
        )
        rendered = [self._result(result) for result in results]
        return render.page(batch, rendered, offset=request.offset, limit=limit, total=total, max_bytes=RESULTS_BYTES)

    async def WatchBatch(  # type: ignore[override]  # bytes that are rendered once for all watchers
        self, request: batch_service_pb2.WatchBatchRequest, context: Context
    ) -> AsyncIterator[bytes]:
        updates = self._watchers.watch(
            tenant_of(context),
            parse.batch_id(request.batch_id),
            request.after_sequence,
            parse.item_statuses(request.statuses),
        )
        async with aclosing(updates):
            async for update in updates:
                yield update.message

    async def CancelBatch(
        self, request: batch_service_pb2.CancelBatchRequest, context: Context
    ) -> types_pb2.BatchStatusResult:
        batch = await self._batches.cancel(tenant_of(context), parse.batch_id(request.batch_id))
        return render.status(batch, with_parameters=True)

    async def RetryBatch(
        self, request: batch_service_pb2.RetryBatchRequest, context: Context
    ) -> types_pb2.BatchStatusResult:
        batch = await self._batches.retry(
            tenant_of(context), parse.batch_id(request.batch_id), parse.error_codes(request.error_codes)
        )
        return render.status(batch, with_parameters=True)

    async def ListBatches(
        self, request: batch_service_pb2.ListBatchesRequest, context: Context
    ) -> batch_service_pb2.ListBatchesResponse:
        size = request.page_size or parse.DEFAULT_LIST_SIZE
        batches = await self._batches.list(
            tenant_of(context), parse.batch_filter(request), size + 1, parse.after_batch_id(request)
        )
        statuses = render.within(
            (render.status(batch, with_parameters=False) for batch in batches[:size]), MAX_RESPONSE_BYTES
        )
        response = batch_service_pb2.ListBatchesResponse(batches=statuses)
        if len(statuses) < len(batches):
            response.next_page_token = parse.page_token(request, statuses[-1].batch_id)
        return response

    async def DeleteBatch(
        self, request: batch_service_pb2.DeleteBatchRequest, context: Context
    ) -> batch_service_pb2.DeleteBatchResponse:
        await self._batches.delete(tenant_of(context), parse.batch_id(request.batch_id))
        return batch_service_pb2.DeleteBatchResponse()

    async def ListOperations(
        self, request: batch_service_pb2.ListOperationsRequest, context: Context
    ) -> batch_service_pb2.ListOperationsResponse:
        return self._catalog.operations()

    async def GetServerInfo(
        self, request: batch_service_pb2.GetServerInfoRequest, context: Context
    ) -> batch_service_pb2.GetServerInfoResponse:
        return self._catalog.server_info()
