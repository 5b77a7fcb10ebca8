"""Figures that Prometheus reads from the running parts whenever it asks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from imagebatch_server.app.database_size import DatabaseSize
from imagebatch_server.app.metrics import Metrics
from imagebatch_server.batches.ownership import Ownership
from imagebatch_server.batches.ports.execution import Executor
from imagebatch_server.batches.ports.servers import Servers
from imagebatch_server.batches.scheduler import Scheduler
from imagebatch_server.batches.sweeper import Sweeper
from imagebatch_server.batches.watcher import Watchers
from imagebatch_server.rpc.call_limits import CallLimits
from imagebatch_server.rpc.connections import open_descriptors
from imagebatch_server.store.database import Database


def add_gauges(
    metrics: Metrics,
    scheduler: Scheduler,
    watchers: Watchers,
    executor: Executor,
    limits: CallLimits,
    sweeper: Sweeper,
    ownership: Ownership,
    workers: int,
) -> None:
    """Have the metrics tell how much of everything there is."""
    gauge, counter = metrics.gauge, metrics.counter
    gauge("queued_items", "Items that wait to be dispatched, without paused batches' ones.", lambda: scheduler.queued)
    gauge("in_flight_items", "Attempts dispatched and not ended.", lambda: scheduler.in_flight)
    gauge(
        "running_batches",
        "Batches with items without an outcome that are not paused.",
        lambda: scheduler.running_batches,
    )
    metrics.counter(
        "batches_taken_over", "Batches taken over from servers that are gone.", lambda: ownership.taken_over
    )
    gauge("watchers", "Open watches.", lambda: watchers.watchers)
    gauge("watch_lag_outcomes", "Outcomes that the slowest watcher is behind.", lambda: watchers.lag)
    gauge("workers_alive", "Worker processes that take items.", lambda: executor.alive)
    gauge("workers", "Worker processes that there should be at the least.", lambda: workers)
    counter("workers_restarted", "Worker processes replaced.", lambda: executor.restarts)
    gauge("calls", "Unary calls being answered.", lambda: limits.calls.taken)
    gauge("transfers", "Uploads, downloads and streamed submits.", lambda: limits.transfers.under_way)
    gauge("connections", "Open connections.", limits.connections.count)
    gauge("open_descriptors", "Open file descriptors of the server's process.", lambda: len(open_descriptors()))
    gauge("quarantined_blobs", "Images set aside, unknown to the database.", lambda: sweeper.quarantined)
    gauge("sweep_refused_blobs", "Unknown images, too many to be set aside.", lambda: sweeper.refused)
    gauge("missing_blobs", "Images that the database knows and are not there.", lambda: sweeper.missing)


def add_gauges_among_servers(metrics: Metrics, servers: Servers, hears: Callable[[], bool]) -> None:
    """Have them tell how a server stands among several; `hears` tells whether the others' news arrives."""
    gauge = metrics.gauge
    gauge("hears_others", "1, or 0 while other servers' news does not arrive.", hears)
    gauge("live_servers", "Servers that live on this database, this one among them.", lambda: servers.count)
    gauge(
        "lease_held",
        "1, or 0 while others may take over what this server owns.",
        lambda: servers.term is not None,
    )


def add_gauges_of_disks(metrics: Metrics, data_dir: Path, database: Database, size: DatabaseSize) -> None:
    """Have them tell how much space there is, and what the database takes of it or of another server's."""
    gauge = metrics.gauge
    gauge("disk_size_bytes", "Size of the file system of the data folder.", lambda: shutil.disk_usage(data_dir).total)
    gauge(
        "disk_free_bytes",
        "What of it is free for files of this server.",
        lambda: shutil.disk_usage(data_dir).free,
    )
    gauge("database_size_bytes", "Size of the database when it was last measured.", lambda: size.bytes)
    gauge("database_transactions", "Transactions that run or wait for a thread.", lambda: database.transactions)
