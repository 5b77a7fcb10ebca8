"""Calls over HTTP beside the same calls by gRPC: one small call, and a finished batch watched."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
from tests.server import free_port

from benchmarks import work
from benchmarks.measure import Line, Report, Scale, interleave, percentile
from benchmarks.ours import WATCH, Ours, byte_stream, serving
from benchmarks.rows.folders import data_folder
from imagebatch.v1 import batch_service_pb2 as pb

ROW = "http"
P50, RATE = "p50", "outcomes/s"
SERVICE = "/imagebatch.v1.BatchService"
_HEAD = struct.Struct(">BI")

Call = Callable[[], Awaitable[object]]


async def measure(scale: Scale, report: Report) -> None:
    address = f"127.0.0.1:{free_port()}"
    with data_folder() as folder:
        async with (
            serving(folder, settings={"http_address": address}) as ours,
            aiohttp.ClientSession(f"http://{address}") as http,
        ):
            await _unary(scale, report, ours, http)
            await _watch(scale, report, ours, http)


async def _unary(scale: Scale, report: Report, ours: Ours, http: aiohttp.ClientSession) -> None:
    async def by_grpc() -> object:
        return await ours.stub.GetServerInfo(pb.GetServerInfoRequest())

    async def by_proto() -> object:
        return pb.GetServerInfoResponse.FromString(await _post(http, "GetServerInfo", "application/proto", b""))

    async def by_json() -> object:
        return json.loads(await _post(http, "GetServerInfo", "application/json", b"{}"))

    calls = {"grpc": by_grpc, "Connect, binary": by_proto, "Connect, JSON": by_json}
    found = await interleave({name: _singles(scale.singles, call) for name, call in calls.items()}, scale.rounds)
    for name in list(calls)[1:]:
        report.add(Line(ROW, f"GetServerInfo by {name}, p50", "ms", found[name][P50], "gRPC", found["grpc"][P50]))


async def _watch(scale: Scale, report: Report, ours: Ours, http: aiohttp.ClientSession) -> None:
    items = scale.batch_items[0]
    batch_id = await ours.submit_messages(items)
    request = pb.WatchBatchRequest(batch_id=batch_id).SerializeToString()

    async def by_grpc() -> Mapping[str, float]:
        started_at = time.perf_counter()
        messages = [message async for message in byte_stream(ours.channel, WATCH)(request)]
        return _rate(messages, items, started_at)

    async def by_connect() -> Mapping[str, float]:
        started_at = time.perf_counter()
        body = await _post(http, "WatchBatch", "application/connect+proto", _HEAD.pack(0, len(request)) + request)
        messages = []
        while body:
            flags, size = _HEAD.unpack_from(body)
            if not flags:
                messages.append(body[_HEAD.size : _HEAD.size + size])
            body = body[_HEAD.size + size :]
        return _rate(messages, items, started_at)

    await by_grpc()  # to the batch's end
    found = await interleave({"grpc": by_grpc, "connect": by_connect}, scale.rounds)
    figure = f"a batch of {items:,} that is done, watched by Connect, binary"
    report.add(Line(ROW, figure, RATE, found["connect"][RATE], "gRPC", found["grpc"][RATE]))


def _singles(count: int, call: Call) -> Callable[[], Awaitable[Mapping[str, float]]]:
    async def one_round() -> Mapping[str, float]:
        times_ms = []
        for _ in range(count):
            started_at = time.perf_counter()
            await call()
            times_ms.append((time.perf_counter() - started_at) * 1e3)
        return {P50: percentile(times_ms, 0.5)}

    return one_round


def _rate(messages: list[bytes], items: int, started_at: float) -> Mapping[str, float]:
    took_s = time.perf_counter() - started_at
    outcomes = sum(len(pb.WatchBatchResponse.FromString(message).results) for message in messages)
    if outcomes != items:
        raise work.WrongResults(f"{outcomes} outcomes instead of {items}")
    return {RATE: items / took_s}


async def _post(http: aiohttp.ClientSession, rpc: str, kind: str, body: bytes) -> bytes:
    async with http.post(f"{SERVICE}/{rpc}", data=body, headers={"content-type": kind}) as answer:
        answer.raise_for_status()
        return await answer.read()
