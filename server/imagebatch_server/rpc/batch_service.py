"""BatchService: parses, delegates, renders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch_server.batches.control import Batches
from imagebatch_server.batches.submission import Submission
from imagebatch_server.batches.tenants import Tenants
from imagebatch_server.batches.watcher import Watchers
from imagebatch_server.rpc import parse, render
from imagebatch_server.rpc.call import Call
from imagebatch_server.rpc.catalog import Catalog

MAX_RESPONSE_BYTES = 3 * 1024 * 1024
RESULTS_BYTES = MAX_RESPONSE_BYTES - 64 * 1024
"""What results may take of a response, leaving room for a status with its labels."""


A_PAGE_BYTES = 3 * MAX_RESPONSE_BYTES
"""What a page takes while it is made: rows, results, and the response."""

RENDERING_BYTES = 16 * A_PAGE_BYTES
"""What pages may take that are made at one time; the others wait."""


class BatchServicer:
    """Batches. Responses full of results are handed over as bytes, which stand for their messages."""

    def __init__(
        self,
        submission: Submission,
        batches: Batches,
        watchers: Watchers,
        catalog: Catalog,
        tenants: Tenants,
        result: render.ResultRenderer,
        *,
        max_rendering_bytes: int = RENDERING_BYTES,
    ) -> None:
        self._submission = submission
        self._pages = asyncio.Semaphore(max(1, max_rendering_bytes // A_PAGE_BYTES))
        self._batches = batches
        self._watchers = watchers
        self._catalog = catalog
        self._tenants = tenants
        self._result = result

    async def SubmitBatch(
        self, request: batch_service_pb2.SubmitBatchRequest, call: Call
    ) -> types_pb2.BatchSubmissionResult:
        batch = await self._submission.submit(
            call.tenant,
            parse.options(request.options),
            parse.items(request.items),
            content_sha256=parse.content_sha256(request),
            traceparent=call.traceparent,
        )
        return render.submission(batch)

    async def SubmitBatchStream(
        self, requests: AsyncIterator[batch_service_pb2.SubmitBatchStreamRequest], call: Call
    ) -> types_pb2.BatchSubmissionResult:
        options = await parse.first_options(requests)
        batch = await self._submission.submit_stream(
            call.tenant,
            parse.options(options),
            parse.item_chunks(requests),
            content_sha256=parse.content_sha256(batch_service_pb2.SubmitBatchStreamRequest(options=options)),
            traceparent=call.traceparent,
        )
        return render.submission(batch)

    async def GetBatchStatus(
        self, request: batch_service_pb2.GetBatchStatusRequest, call: Call
    ) -> types_pb2.BatchStatusResult:
        batch = await self._batches.get(call.tenant, parse.batch_id(request.batch_id))
        message = render.status(batch, with_parameters=True)
        render.add_waiting(message, self._batches.waiting(batch))
        render.add_notification(message, await self._batches.notification(batch))
        return message

    async def GetBatchResults(self, request: batch_service_pb2.GetBatchResultsRequest, call: Call) -> bytes:
        limit, offset = request.limit or parse.DEFAULT_PAGE_LIMIT, request.offset
        async with self._pages:
            batch, total, results = await self._batches.page(
                call.tenant, parse.batch_id(request.batch_id), parse.item_filter(request), offset, limit
            )
            rendered = [self._result(call.tenant, result) for result in results]
            return render.page(batch, rendered, offset=offset, limit=limit, total=total, max_bytes=RESULTS_BYTES)

    async def WatchBatch(self, request: batch_service_pb2.WatchBatchRequest, call: Call) -> AsyncGenerator[bytes, None]:
        updates = self._watchers.watch(
            call.tenant,
            parse.batch_id(request.batch_id),
            request.after_sequence,
            parse.item_statuses(request.statuses),
        )
        async with aclosing(updates):
            async for update in updates:
                yield update.message

    async def CancelBatch(
        self, request: batch_service_pb2.CancelBatchRequest, call: Call
    ) -> types_pb2.BatchStatusResult:
        batch = await self._batches.cancel(call.tenant, parse.batch_id(request.batch_id))
        return render.status(batch, with_parameters=True)

    async def PauseBatch(self, request: batch_service_pb2.PauseBatchRequest, call: Call) -> types_pb2.BatchStatusResult:
        batch = await self._batches.pause(call.tenant, parse.batch_id(request.batch_id))
        return render.status(batch, with_parameters=True)

    async def ResumeBatch(
        self, request: batch_service_pb2.ResumeBatchRequest, call: Call
    ) -> types_pb2.BatchStatusResult:
        batch = await self._batches.resume(call.tenant, parse.batch_id(request.batch_id))
        return render.status(batch, with_parameters=True)

    async def UpdateBatch(
        self, request: batch_service_pb2.UpdateBatchRequest, call: Call
    ) -> types_pb2.BatchStatusResult:
        batch = await self._batches.update(call.tenant, parse.batch_id(request.batch_id), parse.batch_change(request))
        return render.status(batch, with_parameters=True)

    async def RetryBatch(self, request: batch_service_pb2.RetryBatchRequest, call: Call) -> types_pb2.BatchStatusResult:
        batch = await self._batches.retry(call.tenant, parse.batch_id(request.batch_id), parse.retry_request(request))
        return render.status(batch, with_parameters=True)

    async def ListFailureClusters(
        self, request: batch_service_pb2.ListFailureClustersRequest, call: Call
    ) -> batch_service_pb2.ListFailureClustersResponse:
        size = request.page_size or parse.DEFAULT_LIST_SIZE
        clusters = await self._batches.failure_clusters(
            call.tenant, parse.batch_id(request.batch_id), size + 1, parse.after_cluster(request)
        )
        response = render.failure_clusters(clusters[:size])
        if len(clusters) > size:
            response.next_page_token = parse.cluster_token(request, clusters[size - 1])
        return response

    async def ListBatches(
        self, request: batch_service_pb2.ListBatchesRequest, call: Call
    ) -> batch_service_pb2.ListBatchesResponse:
        size = request.page_size or parse.DEFAULT_LIST_SIZE
        batches = await self._batches.list(
            call.tenant, parse.batch_filter(request), size + 1, parse.after_batch_id(request)
        )
        statuses = render.within(
            (render.status(batch, with_parameters=False) for batch in batches[:size]), MAX_RESPONSE_BYTES
        )
        response = batch_service_pb2.ListBatchesResponse(batches=statuses)
        if len(statuses) < len(batches):
            response.next_page_token = parse.page_token(request, statuses[-1].batch_id)
        return response

    async def DeleteBatch(
        self, request: batch_service_pb2.DeleteBatchRequest, call: Call
    ) -> batch_service_pb2.DeleteBatchResponse:
        await self._batches.delete(call.tenant, parse.batch_id(request.batch_id))
        return batch_service_pb2.DeleteBatchResponse()

    async def ListOperations(
        self, request: batch_service_pb2.ListOperationsRequest, call: Call
    ) -> batch_service_pb2.ListOperationsResponse:
        return self._catalog.operations()

    async def GetServerInfo(
        self, request: batch_service_pb2.GetServerInfoRequest, call: Call
    ) -> batch_service_pb2.GetServerInfoResponse:
        return self._catalog.server_info(call.tenant)

    async def GetUsage(
        self, request: batch_service_pb2.GetUsageRequest, call: Call
    ) -> batch_service_pb2.GetUsageResponse:
        usage = await self._tenants.usage(
            call.tenant, parse.optional_day(request, "day_from"), parse.optional_day(request, "day_before")
        )
        return render.usage(usage)

    async def DeleteTenant(
        self, request: batch_service_pb2.DeleteTenantRequest, call: Call
    ) -> batch_service_pb2.DeleteTenantResponse:
        await self._tenants.delete(request.tenant)
        return batch_service_pb2.DeleteTenantResponse()
