"""What fetches images and runs operations, built from the settings."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from imagebatch_server.access.watched_files import WatchedFiles
from imagebatch_server.app.image_urls import makes_previews
from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.errors import CannotStart, UnknownOperation
from imagebatch_server.batches.hosts import Hosts
from imagebatch_server.batches.ports.objects import BlobReader, BlobStore, BucketImages
from imagebatch_server.batches.share import Share
from imagebatch_server.executors.local.executor import PooledExecutor
from imagebatch_server.executors.local.lanes import Lane, Lanes
from imagebatch_server.executors.processes.child_session import ChildSettings
from imagebatch_server.executors.processes.pool import LocalPool
from imagebatch_server.executors.supply.any_fetcher import AnyFetcher
from imagebatch_server.executors.supply.events import OnFetch
from imagebatch_server.executors.supply.fetch_stage import FetchSettings, FetchStage
from imagebatch_server.images.fetch import trust
from imagebatch_server.images.host_headers import NO_HEADERS, Tables, read_tables
from imagebatch_server.images.shares import Shares
from imagebatch_server.operations.registry import OperationRegistry


class UnknownWarmOperation(CannotStart):
    """The settings name an operation that is not installed; the message says which are."""


def fetch_stage(settings: Settings, memory_bytes: int) -> tuple[FetchStage, Sequence[WatchedFiles[Tables]]]:
    """Make the fetch stage, which is to be started, and name the files that it follows.

    Raises CannotStart for a file of certificates or of headers that is none.
    """
    file = settings.fetch_headers
    followed = [] if file is None else [WatchedFiles([file], lambda: read_tables(file.read_text("utf-8")))]
    stage = FetchStage(
        FetchSettings(
            max_image_bytes=settings.max_image_bytes,
            max_redirects=settings.max_redirects,
            download_bytes=memory_bytes,
            shares=Shares(
                overall=settings.fetches,
                per_batch=settings.fetches_per_batch,
                per_tenant=settings.fetches_per_tenant,
                per_network=settings.fetches_per_network,
            ),
            allowed_hosts=settings.fetch_allowed_hosts,
            allowed_networks=[str(network) for network in settings.fetch_allowed_networks],
            ca_pem=certificates(settings.fetch_ca_file),
            proxy=settings.fetch_proxy or "",
        ),
        headers=lambda: followed[0].value if followed else NO_HEADERS,
    )
    return stage, followed


def certificates(file: Path | None) -> str:
    """Read the authorities that others' hosts are trusted by beside the system's. Raises CannotStart."""
    if file is None:
        return ""
    try:
        pem = file.read_text("ascii")
        if not pem.strip():
            raise ValueError
        trust(pem)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        why = "it holds no certificates in PEM" if isinstance(error, ssl.SSLError | ValueError) else error.strerror
        raise CannotStart(f"--fetch-ca-file {file}: {why}; give a file of PEM certificates, or leave it out") from None
    return pem


def executor(
    settings: Settings,
    memory_bytes: int,
    registry: OperationRegistry,
    fetcher: FetchStage,
    buckets: BucketImages | None,
    blobs: BlobStore,
    reader: BlobReader,
    sharers: Callable[[], int],
    on_fetch: OnFetch,
    lanes: Mapping[str, int] | None = None,
    lane: Callable[[str, bytes | None], str] | None = None,
) -> Lanes:
    """Make the executor of this machine: its workers, and beside them the process of the asynchronous operations.

    Operations are told how many `sharers` of their limits there are. Where a `lane` is chosen by more than the kind,
    `lanes` says how many workers each has.
    """
    child = ChildSettings(
        registry.references(),
        settings.warm_operations,
        settings.max_image_pixels,
        settings.worker_memory_bytes,
        configuration=registry.configuration(asynchronous=False),
        servers=sharers,
        makes_previews=makes_previews(settings),
    )
    asynchronous_child = replace(
        child,
        warm=(),
        concurrency=registry.most_in_flight(),
        configuration=registry.configuration(asynchronous=True),
    )
    chunk_items = registry.chunk_items()

    def of_lane(name: str, workers: int) -> PooledExecutor:
        is_asynchronous = name.startswith(Lane.ASYNCHRONOUS)
        items = {} if is_asynchronous else chunk_items
        return PooledExecutor(
            pool=LocalPool(asynchronous_child if is_asynchronous else child, workers, items),
            chunk_items=items,
            resolve=registry.resolve,
            fetcher=fetcher if buckets is None else AnyFetcher(fetcher, buckets),
            blobs=blobs,
            reader=reader,
            buckets=buckets,
            max_image_bytes=settings.max_image_bytes,
            max_ready_bytes=memory_bytes // 2,  # of each lane
            on_fetch=on_fetch,
        )

    def by_kind(operation: str, parameters: bytes | None) -> str:
        return Lane.ASYNCHRONOUS if registry.is_asynchronous(operation, parameters) else Lane.WORKERS

    lanes = lanes or {Lane.WORKERS: settings.workers, Lane.ASYNCHRONOUS: 1}
    return Lanes({name: of_lane(name, workers) for name, workers in lanes.items()}, lane or by_kind)


def operations(settings: Settings) -> OperationRegistry:
    """Find the operations that are installed. Raises UnknownWarmOperation, DuplicateOperation."""
    registry = OperationRegistry.load(settings.of_operations())
    for name in settings.warm_operations:
        try:
            registry.get(name)
        except UnknownOperation as error:
            raise UnknownWarmOperation(f"--warm-operations: {error.violations[0].description}") from error
    return registry


def hosts(settings: Settings, share: Share) -> Hosts:
    """Make what limits fetches by host."""
    return Hosts(
        overall=settings.fetches,
        per_host=settings.fetches_per_host,
        share=share,
        per_batch=settings.fetches_per_batch,
        per_tenant=settings.fetches_per_tenant,
        most_per_s=settings.fetch_host_rate,
        patience_s=settings.fetch_patience_s,
    )
