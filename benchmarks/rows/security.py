"""What TLS and tokens cost: the same calls to two servers, one of them in plain text and asking nobody."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from grpc import aio
from tests.server import ServerProcess

from benchmarks import operations
from benchmarks.bare.store import add_finished_batch
from benchmarks.measure import Line, Mark, Report, Round, Scale, interleave, percentile
from benchmarks.ours import CHANNEL_OPTIONS, WATCH, byte_stream, open_channel
from benchmarks.rows.folders import data_folder
from imagebatch.v1 import batch_service_pb2 as pb
from imagebatch.v1 import batch_service_pb2_grpc
from imagebatch_server.access import access_file
from imagebatch_server.access.access_file import Caller
from imagebatch_server.access.principal import Role
from imagebatch_server.app.authority import Authority

ROW = "security"
P50, P99, RATE = "p50", "p99", "items/s"
UNARY_MARK, WATCH_MARK = Mark(at_most=2.0), Mark(at_least=0.5)


async def measure(scale: Scale, report: Report) -> None:
    items = scale.replay_items
    with data_folder() as first, data_folder() as second:
        async with _plain(first, items) as plain, _secure(second, items) as secure:
            found = await interleave(
                {
                    name: _round(*server, scale.singles, items)
                    for name, server in {"plain": plain, "secure": secure}.items()
                },
                scale.rounds,
            )
    for share, mark in ((P50, UNARY_MARK), (P99, None)):
        both = found["secure"][share], "in plain text, without tokens", found["plain"][share]
        report.add(Line(ROW, f"GetBatchStatus by TLS with a token, {share}", "ms", *both, mark))
    both = found["secure"][RATE], "in plain text, without tokens", found["plain"][RATE]
    report.add(Line(ROW, f"replay of {items:,} items by WatchBatch, TLS with a token", RATE, *both, WATCH_MARK))


def _round(channel: aio.Channel, batch_id: str, singles: int, items: int) -> Round:
    stub = batch_service_pb2_grpc.BatchServiceStub(channel)
    watch = byte_stream(channel, WATCH)

    async def run() -> Mapping[str, float]:
        times_ms = []
        for _ in range(singles):
            started_at = time.perf_counter()
            await stub.GetBatchStatus(pb.GetBatchStatusRequest(batch_id=batch_id))
            times_ms.append((time.perf_counter() - started_at) * 1e3)
        started_at = time.perf_counter()
        messages = [data async for data in watch(pb.WatchBatchRequest(batch_id=batch_id).SerializeToString())]
        took_s = time.perf_counter() - started_at
        received = sum(len(pb.WatchBatchResponse.FromString(data).results) for data in messages)
        if received != items:
            raise ValueError(f"{received} items came, not {items}")
        return {P50: percentile(times_ms, 0.5), P99: percentile(times_ms, 0.99), RATE: items / took_s}

    return run


@asynccontextmanager
async def _plain(folder: Path, items: int) -> AsyncIterator[tuple[aio.Channel, str]]:
    with _serving(folder, items, {}) as (address, batch_id):
        async with open_channel(address) as channel:
            yield channel, batch_id


@asynccontextmanager
async def _secure(folder: Path, items: int) -> AsyncIterator[tuple[aio.Channel, str]]:
    authority, token, callers = Authority(folder), access_file.new_token(), folder / "callers.json"
    certificate, key = authority.issue("server", hosts=["127.0.0.1"])
    with access_file.changing(callers) as entries:
        entries.append(
            Caller(
                name="benchmark",
                tenant="default",
                roles=frozenset({Role.READER}),
                expires_at=datetime.now(UTC) + timedelta(days=1),
                sha256=access_file.token_sha256(token),
            )
        )
    settings = {"tls_certificate": str(certificate), "tls_key": str(key), "access_file": str(callers)}
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(authority.certificate.read_bytes()), grpc.access_token_call_credentials(token)
    )
    with _serving(folder, items, settings) as (address, batch_id):
        async with aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS) as channel:
            yield channel, batch_id


@contextmanager
def _serving(folder: Path, items: int, settings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Run a server whose database holds a finished batch; answers its address and the batch's id."""
    process = ServerProcess(folder / "data", {**settings, "log_level": "warning"}, operations.REFERENCES)
    process.start()  # it makes the tables
    process.stop()
    batch_id = add_finished_batch(f"sqlite:///{folder / 'data' / 'imagebatch.db'}", items)
    process.start()
    try:
        yield process.address, batch_id
    finally:
        process.stop()
