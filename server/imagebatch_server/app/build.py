"""The composition root: builds every part, opens them in order, and closes what it opened."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import Any

import structlog

from imagebatch.v1 import batch_service_pb2
from imagebatch_server.app.endpoint import CALLS_GRACE_S, Endpoint
from imagebatch_server.app.folder import DataFolder
from imagebatch_server.app.metrics import Metrics
from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.control import Batches
from imagebatch_server.batches.hosts import HostSlots
from imagebatch_server.batches.intake import Intake
from imagebatch_server.batches.janitor import Janitor
from imagebatch_server.batches.ownership import Ownership
from imagebatch_server.batches.recorder import Recorder
from imagebatch_server.batches.scheduler import Scheduler
from imagebatch_server.batches.submission import Submission
from imagebatch_server.batches.uploads import Uploads
from imagebatch_server.batches.watcher import Watchers
from imagebatch_server.executors.lanes import Lanes
from imagebatch_server.executors.local import LocalExecutor
from imagebatch_server.images.fetch import Fetcher
from imagebatch_server.images.guard import Guard
from imagebatch_server.images.header import header
from imagebatch_server.images.objects import LocalBlobStore
from imagebatch_server.operations.configuration import Configuration, OpenAIEndpoint
from imagebatch_server.operations.registry import OperationRegistry
from imagebatch_server.rpc import validate
from imagebatch_server.rpc.batch_service import MAX_RESPONSE_BYTES, RESULTS_BYTES, BatchServicer
from imagebatch_server.rpc.catalog import Catalog
from imagebatch_server.rpc.image_service import ImageServicer
from imagebatch_server.rpc.render import ResultRenderer, watch_response
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.migrate import migrate
from imagebatch_server.store.objects import SqlObjectRows
from imagebatch_server.store.outcomes import SqlOutcomeStore

log = structlog.get_logger(__name__)

OWNER = "embedded"
"""The one owner of every batch, until several servers share a database."""

ASYNC_ITEMS = 64
"""Items of asynchronous operations in flight at the least; operations have limits of their own below it."""

RECORD_GRACE_S = 5.0


class UnknownWarmOperation(Exception):
    """The settings name an operation that is not installed; the message says which are."""


class Server:
    """One server: `start`, then `stop`.

    Raises FolderInUse, SchemaTooNew, StoreUnavailable, UnknownWarmOperation, OSError from `start`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened = AsyncExitStack()
        self._draining = False

    async def start(self) -> str:
        """Open everything, resume what an earlier server left, and listen. Answers the address."""
        try:
            return await self._start()
        except BaseException:
            await self._opened.aclose()
            raise

    async def _start(self) -> str:
        settings, opened = self._settings, self._opened
        folder = DataFolder(settings.data_dir)
        opened.callback(folder.close)
        database = Database(settings.database_url or folder.database_url)
        opened.callback(database.close)
        await migrate(database)
        blobs = LocalBlobStore(folder.objects)
        opened.callback(blobs.close)
        blobs.sweep_temporary()
        configuration = _configuration(settings)
        registry = OperationRegistry.load(configuration)
        for name in settings.warm_operations:
            if name not in registry.names():
                known = ", ".join(registry.names())
                raise UnknownWarmOperation(f"--warm-operations names {name!r}, and this server has {known}")
        guard = Guard(settings.fetch_allowed_hosts, settings.fetch_allowed_networks)
        fetcher = await opened.enter_async_context(
            Fetcher(
                guard,
                max_bytes=settings.max_image_bytes,
                max_redirects=settings.max_redirects,
                max_memory_bytes=settings.fetch_memory_bytes,
            )
        )

        batch_store = SqlBatchStore(database, owner=OWNER, max_running_batches=settings.max_running_batches)
        outcome_store = SqlOutcomeStore(database, max_read_bytes=RESULTS_BYTES)
        render = ResultRenderer(blobs.url)
        local = partial(
            LocalExecutor,
            operations=registry.references(),
            resolve=registry.resolve,
            fetcher=fetcher,
            blobs=blobs,
            memory_bytes=settings.worker_memory_bytes,
            max_image_bytes=settings.max_image_bytes,
            max_image_pixels=settings.max_image_pixels,
            max_ready_bytes=settings.ready_memory_bytes,
        )
        in_flight = max(ASYNC_ITEMS, 2 * settings.openai_concurrency)
        self._executor = Lanes(
            local(workers=settings.workers, warm=settings.warm_operations, chunk_items=registry.chunk_items()),
            local(workers=1, concurrency=in_flight, configuration=configuration),
            registry.is_asynchronous,
        )
        self._recorder = Recorder(outcome_store)
        hosts = HostSlots(overall=settings.fetches, per_host=settings.fetches_per_host)
        self._scheduler = Scheduler(batch_store, self._recorder, self._executor, hosts)
        metrics = Metrics()
        self._watchers = Watchers(
            batch_store,
            outcome_store,
            render,
            watch_response,
            max_update_bytes=RESULTS_BYTES,
            on_delay=metrics.delivered,
        )
        for listener in (self._watchers, self._scheduler, metrics):
            self._recorder.listen(listener)
        object_rows = SqlObjectRows(database)
        janitor = Janitor(
            batch_store,
            object_rows,
            blobs,
            self._watchers,
            retention=None if settings.retention_s is None else timedelta(seconds=settings.retention_s),
            every_s=settings.tidy_every_s,
        )
        self._submission = Submission(
            batch_store,
            Intake(blobs, object_rows),
            registry,
            self._scheduler,
            janitor,
            max_items_per_submit=settings.max_items_per_submit,
            max_items_per_batch=settings.max_items_per_batch,
        )
        self._run("recorder", self._recorder.run())
        opened.push_async_callback(self._scheduler.close)
        await self._executor.start(self._scheduler)
        opened.push_async_callback(self._executor.stop, 0.0)

        ownership = Ownership(batch_store, self._scheduler, OWNER)
        await ownership.take_over()
        self._run("ownership", ownership.run())
        self._run("janitor", janitor.run())

        batches = Batches(batch_store, outcome_store, self._scheduler, self._watchers, janitor)
        uploads = Uploads(blobs, object_rows, header, max_image_bytes=settings.max_image_bytes)
        catalog = Catalog(version("imagebatch"), registry.describe_all(), self._limits(), self._workers, self._drains)
        self._endpoint = Endpoint(
            BatchServicer(self._submission, batches, self._watchers, catalog, render),
            ImageServicer(uploads),
            max_request_bytes=settings.max_request_bytes,
        )
        opened.push_async_callback(self._endpoint.stop)
        self._serve_metrics(metrics)
        return await self._endpoint.start(settings.address)

    def _run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a loop in the background until everything is closed."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._opened.push_async_callback(_cancel, task)

    async def stop(self) -> None:
        """Take no new work, give what is in flight `stop_grace_s` to end, tell watchers, close everything.

        What did not end stays pending, and the next server runs it.
        """
        self._draining = True
        self._submission.draining = True
        await self._endpoint.drain()
        self._scheduler.stop()
        await self._executor.stop(self._settings.stop_grace_s)
        try:
            async with asyncio.timeout(RECORD_GRACE_S):
                await self._recorder.drained()
        except TimeoutError:
            log.warning("the store is away: outcomes that it did not take will be made again")
        self._watchers.drain()
        await self._endpoint.stop(CALLS_GRACE_S)
        await self._opened.aclose()

    def _serve_metrics(self, metrics: Metrics) -> None:
        scheduler, watchers, executor = self._scheduler, self._watchers, self._executor
        metrics.gauge("queued_items", "Items that wait to be dispatched.", lambda: scheduler.queued)
        metrics.gauge("in_flight_items", "Attempts dispatched and not ended.", lambda: scheduler.in_flight)
        metrics.gauge("running_batches", "Batches with items without an outcome.", lambda: scheduler.running_batches)
        metrics.gauge("watchers", "Open watches.", lambda: watchers.watchers)
        metrics.gauge("watch_lag_outcomes", "Outcomes that the slowest watcher is behind.", lambda: watchers.lag)
        metrics.gauge("workers_alive", "Worker processes that take items.", lambda: executor.workers_alive)
        metrics.gauge("workers_restarted", "Worker processes replaced.", lambda: executor.workers_restarted)
        if self._settings.metrics_address is not None:
            self._opened.callback(metrics.serve(self._settings.metrics_address))

    def _drains(self) -> bool:
        return self._draining

    def _workers(self) -> tuple[int, int]:
        return self._executor.workers_alive, self._executor.workers_restarted

    def _limits(self) -> batch_service_pb2.ServerLimits:
        settings = self._settings
        return batch_service_pb2.ServerLimits(
            max_items_per_submit=settings.max_items_per_submit,
            max_items_per_batch=settings.max_items_per_batch,
            max_image_bytes=settings.max_image_bytes,
            max_image_pixels=settings.max_image_pixels,
            max_redirects=settings.max_redirects,
            max_running_batches=settings.max_running_batches,
            max_request_bytes=settings.max_request_bytes,
            max_response_bytes=MAX_RESPONSE_BYTES,
            max_metadata_bytes=validate.MAX_METADATA_BYTES,
            max_parameters_bytes=validate.MAX_PARAMETERS_BYTES,
            max_output_bytes=256 * 1024,
            max_error_message_bytes=2 * 1024,
            max_image_url_characters=8_192,
        )


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _configuration(settings: Settings) -> Configuration:
    if settings.openai_base_url is None:
        return Configuration()
    key = settings.openai_api_key
    return Configuration(
        openai=OpenAIEndpoint(
            base_url=settings.openai_base_url,
            model=settings.openai_model,
            api_key=None if key is None else key.get_secret_value(),
            concurrency=settings.openai_concurrency,
            requests_per_minute=settings.openai_requests_per_minute,
        )
    )
