"""The composition root: builds every part, opens them in order, and closes what it opened."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import structlog

from imagebatch_server.access.audit_log import AuditLog
from imagebatch_server.access.watched_files import FileWatch, WatchedFiles
from imagebatch_server.app import execution
from imagebatch_server.app.access import Access, grpc_credentials, open_access
from imagebatch_server.app.cluster import cluster_executor
from imagebatch_server.app.database_size import DatabaseSize
from imagebatch_server.app.descriptors import Descriptors, raise_limit, share_out
from imagebatch_server.app.endpoint import CALLS_GRACE_S, Endpoint
from imagebatch_server.app.features import features
from imagebatch_server.app.gauges import add_gauges, add_gauges_among_servers, add_gauges_of_disks
from imagebatch_server.app.http_port import HttpPort
from imagebatch_server.app.image_urls import image_urls, makes_previews
from imagebatch_server.app.limits import call_limits, server_limits, usual_quotas
from imagebatch_server.app.memory import Memory, find_limit, give_memory_back
from imagebatch_server.app.memory import share_out as share_memory
from imagebatch_server.app.metrics import Metrics
from imagebatch_server.app.notifications import open_notifications
from imagebatch_server.app.objects import object_store_place, open_object_store, opened_buckets
from imagebatch_server.app.onlookers import Onlookers
from imagebatch_server.app.prices import token_prices
from imagebatch_server.app.servers import Place, place_among_servers
from imagebatch_server.app.settings import Settings
from imagebatch_server.app.tenants_file import TenantsFile
from imagebatch_server.app.uploads import incoming
from imagebatch_server.batches.audience import Audience
from imagebatch_server.batches.control import Batches
from imagebatch_server.batches.handover import Handover
from imagebatch_server.batches.item_admission import ItemAdmission
from imagebatch_server.batches.janitor import Janitor
from imagebatch_server.batches.loops import Loop, running
from imagebatch_server.batches.model import Load
from imagebatch_server.batches.news import LocalNews
from imagebatch_server.batches.ownership import Ownership
from imagebatch_server.batches.placement import owner_for
from imagebatch_server.batches.ports.batches import BatchStore
from imagebatch_server.batches.ports.execution import Executor
from imagebatch_server.batches.ports.objects import BlobReader, BlobStore, BucketImages, ObjectRows, SweptBlobStore
from imagebatch_server.batches.ports.servers import News, Servers
from imagebatch_server.batches.recorder import Recorder
from imagebatch_server.batches.scheduler import Scheduler
from imagebatch_server.batches.service_clock import ServiceClock
from imagebatch_server.batches.share import Share
from imagebatch_server.batches.submission import Submission
from imagebatch_server.batches.sweeper import Sweeper
from imagebatch_server.batches.tenants import Tenants, TenantStore
from imagebatch_server.batches.waiting import WaitingReasons
from imagebatch_server.batches.watcher import Watchers
from imagebatch_server.http.keyring import Keyring
from imagebatch_server.http.signing import UrlSigner
from imagebatch_server.images.formats import readable
from imagebatch_server.operations.registry import OperationRegistry
from imagebatch_server.rpc.batch_service import RESULTS_BYTES, BatchServicer
from imagebatch_server.rpc.call_limits import CallLimits
from imagebatch_server.rpc.calls import Calls
from imagebatch_server.rpc.catalog import Catalog
from imagebatch_server.rpc.connections import Connections
from imagebatch_server.rpc.gate import Gate
from imagebatch_server.rpc.image_service import ImageServicer
from imagebatch_server.rpc.methods import contract
from imagebatch_server.rpc.render import ResultRenderer, watch_response
from imagebatch_server.rpc.validate import RequestValidator
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.news import SharedNews
from imagebatch_server.store.object_rows import SqlObjectRows
from imagebatch_server.store.outcomes import SqlOutcomeStore
from imagebatch_server.store.signing_keys import SqlSigningKeys
from imagebatch_server.store.tenants import SqlTenantStore

log = structlog.get_logger(__name__)


RECORD_GRACE_S = 1.5


class Server:
    """One server: `start`, then `stop`.

    Raises CannotStart at once where the system leaves it too little, and CannotStart, StoreUnavailable, OSError from
    `start`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._descriptors = share_out(raise_limit(), settings)
        self._memory = share_memory(find_limit(), settings)
        if self._memory.is_short:
            give_memory_back()
        self._opened = AsyncExitStack()
        self._draining = False
        self._metrics = Metrics()
        self._http_port: HttpPort | None = None
        self._onlookers = Onlookers(settings, self._metrics)
        self._opened.push_async_callback(self._onlookers.close)

    async def start(self) -> str:
        """Open everything, resume what an earlier server left, and listen. Answers the address."""
        try:
            address = await self._start(self._descriptors, self._memory)
        except BaseException:
            await self._opened.aclose()
            raise
        self._say_what_it_has()  # once it has begun: what kept it from that is then all that is said
        return address

    def _say_what_it_has(self) -> None:
        memory = self._memory
        log.info("server.descriptors", **asdict(self._descriptors))
        log.info("server.memory", **asdict(memory), total=memory.total)
        if memory.is_short:
            log.warning("server.memory_short", limit=memory.limit, source=memory.source)

    async def _start(self, descriptors: Descriptors, memory: Memory) -> str:
        settings, opened = self._settings, self._opened
        tenants_file = TenantsFile(settings.tenants_file, usual_quotas(settings))
        quotas = tenants_file.quotas
        access = await opened.enter_async_context(open_access(settings, self._metrics))
        self._take_http_address(access)
        registry = execution.operations(settings)
        place = await opened.enter_async_context(place_among_servers(settings, registry.names()))
        folder, database, claim, servers = place.folder, place.database, place.claim, place.servers
        clock = ServiceClock(servers.time_s)
        blobs = open_object_store(settings, folder.objects)
        opened.push_async_callback(blobs.close)
        await blobs.sweep_temporary()
        batch_store = SqlBatchStore(
            database,
            owner=claim.owner,
            quotas=quotas,
            owner_for=lambda operation: owner_for(operation, servers.own, servers.others),
        )
        outcome_store = SqlOutcomeStore(database, max_read_bytes=RESULTS_BYTES)
        signer = await self._open_signer(database, clock)
        urls = image_urls(settings, signer, blobs)
        render = ResultRenderer(urls.url)
        buckets = opened_buckets(settings, quotas)
        notifications = await opened.enter_async_context(open_notifications(settings, database, clock.now))
        object_rows = SqlObjectRows(database, quotas=quotas)
        images = incoming(settings, blobs, object_rows, quotas, signer, clock)
        followed = await self._open_executor(registry, buckets, blobs, images.reader, place)
        self._recorder = Recorder(outcome_store, servers, clock.now)
        news, handover = await self._open_news(database, claim.owner, servers), Handover()
        # Before the scheduler, which takes new batches out of the handover.
        self._watchers = Watchers(
            batch_store,
            outcome_store,
            news,
            handover,
            render,
            watch_response,
            owner=claim.owner,
            max_update_bytes=RESULTS_BYTES,
            kept_s=urls.kept_s,
            on_delivered=self._onlookers.delivered,
        )
        hosts = execution.hosts(settings, Share(servers))
        self._scheduler = Scheduler(
            batch_store,
            self._recorder,
            self._executor,
            hosts,
            news,
            handover,
            claim,
            servers,
            weight=lambda tenant: quotas(tenant).weight,
        )
        self._recorder.listen(
            self._watchers, self._scheduler, Audience(news), *notifications.notifiers, *self._onlookers.of_commits
        )
        sweeper = self._sweeper(object_rows, blobs, clock)
        await sweeper.review_quarantine()  # before batches run that may need what is there
        janitor = self._janitor(batch_store, SqlTenantStore(database), sweeper, news, servers, clock)
        self._submission = Submission(
            batch_store,
            ItemAdmission(blobs, object_rows, takes_buckets=buckets is not None, take_in=images.take_in),
            registry,
            news,
            handover,
            janitor,
            quotas,
            max_items_per_submit=settings.max_items_per_submit,
            max_items_per_batch=settings.max_items_per_batch,
            buckets=buckets,
            receivers=notifications.receivers,
            now=clock.now,
        )
        await opened.enter_async_context(running(self._recorder))
        opened.push_async_callback(self._watchers.close)
        opened.push_async_callback(self._scheduler.close)
        await self._executor.start(self._scheduler)
        opened.push_async_callback(self._executor.stop, 0.0)

        self._ownership = Ownership(batch_store, self._scheduler, claim, servers, news)
        bounds = call_limits(settings, quotas, descriptors, memory, self._metrics)
        servers.report(
            lambda: Load(self._executor.alive, self._scheduler.queued, bounds.rates.exchange(servers.others))
        )
        await self._ownership.look()
        waiting = WaitingReasons(
            self._scheduler.running,
            hosts,
            self._executor,
            lambda: self._recorder.store_is_away,
            batch_store,
            servers,
            clock.now,
        )
        loops: tuple[Loop, ...] = (
            self._ownership,
            waiting,
            janitor,
            FileWatch([*tenants_file.watched, *followed, *notifications.followed]),
            *notifications.notifiers,
        )
        for loop in loops:
            await opened.enter_async_context(running(loop))

        batches = Batches(
            batch_store,
            outcome_store,
            news,
            self._scheduler.processing,
            notifications.store,
            clock.now,
            waiting.of,
        )
        catalog = Catalog(
            version("imagebatch"),
            registry.describe_all(),
            server_limits(settings, descriptors, memory),
            quotas,
            self._workers,
            self._drains,
            readable(),
            features(
                signs_uploads=images.awaited is not None,
                signs_images=signer is not None or settings.object_store_url is not None,
                opens_buckets=buckets is not None,
                notifies=notifications.receivers is not None,
                makes_previews=makes_previews(settings),
            ),
            token_prices(settings.token_prices, settings.token_currency),
        )
        calls = Calls(
            contract(
                BatchServicer(
                    self._submission,
                    batches,
                    self._watchers,
                    catalog,
                    Tenants(SqlTenantStore(database), news, clock.now),
                    render,
                    max_rendering_bytes=memory.rendering,
                ),
                ImageServicer(images.uploads, images.awaited),
            ),
            RequestValidator(),
            Gate(access.authenticator, public_info=settings.public_info),
            bounds,
            self._audit(),
            self._onlookers.of_requests,
            max_request_bytes=memory.max_request,
        )
        await self._measure(bounds, sweeper, database)
        if self._http_port is not None and signer is not None and images.awaited is not None:
            await self._http_port.open(
                calls,
                bounds,
                signer,
                images.uploads,
                images.awaited,
                self._metrics,
                self._drains,
                lambda: self._executor.trouble,
            )
        return await self._listen(access, calls, bounds.connections)

    async def _open_news(self, database: Database, server: str, servers: Servers) -> News:
        """Make what tells of changes: to the other servers too, if there can be any."""
        if servers.alone:
            add_gauges_among_servers(self._metrics, servers, lambda: True)
            return LocalNews()
        news = SharedNews(LocalNews(), database, server, lambda: servers.count > 1)
        for loop in (news, news.listening):
            await self._opened.enter_async_context(running(loop))
        add_gauges_among_servers(self._metrics, servers, lambda: news.hears)
        return news

    async def _open_executor(
        self,
        registry: OperationRegistry,
        buckets: BucketImages | None,
        blobs: BlobStore,
        reader: BlobReader,
        place: Place,
    ) -> Sequence[WatchedFiles[Any]]:
        """Make what runs items, on this machine or on a cluster; answers the files that it follows."""
        settings, opened = self._settings, self._opened
        self._executor: Executor
        if settings.ray_address is not None:
            store_id = await asyncio.to_thread(object_store_place(settings, place.folder.objects).id)
            on_cluster = cluster_executor(
                settings, registry, place.claim.owner, store_id, self._metrics.fetches.fetched
            )
            self._executor = self._onlookers.watched(on_cluster)
            return ()
        fetcher, followed = execution.fetch_stage(settings, self._memory.fetch)
        await fetcher.start()
        opened.push_async_callback(fetcher.stop)
        workers = execution.executor(
            settings,
            self._memory.ready,
            registry,
            fetcher,
            buckets,
            blobs,
            reader,
            lambda: place.servers.count,
            self._metrics.fetches.fetched,
        )
        self._executor = self._onlookers.watched(workers)
        return followed

    def _sweeper(self, rows: ObjectRows, blobs: SweptBlobStore, clock: ServiceClock) -> Sweeper:
        settings = self._settings
        quarantine = timedelta(seconds=settings.quarantine_s)
        return Sweeper(rows, blobs, quarantine=quarantine, max_share=settings.sweep_max_share, now=clock.now)

    def _janitor(
        self,
        batches: BatchStore,
        tenants: TenantStore,
        sweeper: Sweeper,
        news: News,
        servers: Servers,
        clock: ServiceClock,
    ) -> Janitor:
        settings = self._settings
        retention = None if settings.retention_s is None else timedelta(seconds=settings.retention_s)
        return Janitor(
            batches,
            tenants,
            sweeper,
            news,
            retention=retention,
            every_s=settings.tidy_every_s,
            leads=lambda: servers.rank == 0,
            now=clock.now,
        )

    async def _listen(self, access: Access, calls: Calls, connections: Connections) -> str:
        """Let callers come; answers the address that they come to by gRPC."""
        settings, opened = self._settings, self._opened
        self._endpoint = Endpoint(
            calls,
            connections,
            None if access.identity is None else grpc_credentials(access.identity),
            reads_ahead=not self._memory.is_short,
            max_connection_idle_s=settings.max_connection_idle_s,
        )
        loops: tuple[Loop, ...] = (connections, calls.streams)
        for loop in loops:
            await opened.enter_async_context(running(loop))
        opened.push_async_callback(self._endpoint.stop)
        if settings.metrics_address is not None:
            opened.callback(self._metrics.serve(settings.metrics_address))
        return await self._endpoint.start(settings.address)

    @property
    def page_url(self) -> str | None:
        """Where people find the page; None on a server without one."""
        if self._http_port is None or not self._settings.page:
            return None
        return f"{self._http_port.base_url}/"

    def _take_http_address(self, access: Access) -> None:
        if self._settings.http_address is not None:
            self._http_port = HttpPort(self._settings, self._settings.http_address, access.identity)
            self._opened.push_async_callback(self._http_port.stop)

    async def _open_signer(self, database: Database, clock: ServiceClock) -> UrlSigner | None:
        """Make what signs URLs, if there is a port that answers them."""
        if self._http_port is None:
            return None
        keyring = Keyring(SqlSigningKeys(database), clock.now)
        await keyring.open()
        await self._opened.enter_async_context(running(keyring))
        return UrlSigner(self._http_port.base_url, self._settings.signed_url_lifetime_s, keyring, clock.time_s)

    async def stop(self) -> None:
        """Take no new work, give what is in flight `stop_grace_s` to end, tell watchers, close everything.

        What did not end stays pending, and other servers run it: those that there are at once, else the next.
        """
        self._draining = True
        self._submission.draining = True
        await self._endpoint.drain()
        self._scheduler.stop()
        await self._ownership.hand_over()
        await self._executor.stop(self._settings.stop_grace_s)
        try:
            async with asyncio.timeout(RECORD_GRACE_S):
                await self._recorder.drained()
                await self._scheduler.handed_over()
        except TimeoutError:
            log.warning("server.outcomes_unrecorded")
        self._watchers.drain()
        if self._http_port is not None:
            await self._http_port.stop(CALLS_GRACE_S)
        await self._endpoint.stop(CALLS_GRACE_S)
        await self._opened.aclose()

    async def _measure(self, bounds: CallLimits, sweeper: Sweeper, database: Database) -> None:
        """Have the metrics tell of what runs now."""
        metrics = self._metrics
        add_gauges(
            metrics,
            self._scheduler,
            self._watchers,
            self._executor,
            bounds,
            sweeper,
            self._ownership,
            self._settings.workers if self._settings.ray_address is None else 1,  # a cluster's come and go
        )
        size = DatabaseSize(database)
        await self._opened.enter_async_context(running(size))
        add_gauges_of_disks(metrics, self._settings.data_dir, database, size)
        database.on_transaction = metrics.database.transaction

    def _audit(self) -> AuditLog | None:
        if self._settings.audit_log is None:
            return None
        audit = AuditLog(self._settings.audit_log, self._metrics.audit_lines_lost)
        self._opened.callback(audit.close)
        return audit

    def _drains(self) -> bool:
        return self._draining

    def _workers(self) -> tuple[int, int]:
        return self._executor.alive, self._executor.restarts
