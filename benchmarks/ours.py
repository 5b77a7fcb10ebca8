"""Our server as the rows run it, and the two ways of using it: by our client, and by bare stubs."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from grpc import aio
from PIL import Image
from tests.server import ServerProcess

from benchmarks import operations, work
from imagebatch.v1 import batch_service_pb2 as pb
from imagebatch.v1 import batch_service_pb2_grpc, types_pb2
from imagebatch_client import AsyncBatchClient, BatchImageInput

WORKERS = 2
UNARY_ITEMS = 10_000
"""Items of one SubmitBatch, as the server's default allows; more go by SubmitBatchStream."""

CHANNEL_OPTIONS = (("grpc.max_receive_message_length", 4 * 1024 * 1024),)


class Ours:
    """A running server with one small picture stored, and a client connected to it."""

    def __init__(self, process: ServerProcess, client: AsyncBatchClient, channel: aio.Channel, object_key: str) -> None:
        self.process = process
        self.client = client
        self.channel = channel
        self.stub = batch_service_pb2_grpc.BatchServiceStub(channel)
        self.object_key = object_key

    def inputs(self, items: int, first: int = 0) -> Iterator[BatchImageInput]:
        """Items for our client; all name the one stored picture."""
        for index in range(first, first + items):
            yield BatchImageInput(object_key=self.object_key, metadata=work.metadata_of(index))

    def input_messages(self, items: int, first: int = 0) -> list[types_pb2.BatchImageInput]:
        """Make the same as messages."""
        messages = []
        for index in range(first, first + items):
            message = types_pb2.BatchImageInput(object_key=self.object_key)
            message.metadata.update(work.metadata_of(index))
            messages.append(message)
        return messages

    def input_messages_in_runs(self, items: int, items_a_message: int) -> list[bytes]:
        """Serialise SubmitBatchStreamRequests with the same."""
        runs = []
        for first in range(0, items, items_a_message):
            inputs = pb.BatchImageInputs(items=self.input_messages(min(items_a_message, items - first), first))
            runs.append(pb.SubmitBatchStreamRequest(items=inputs).SerializeToString())
        return runs

    async def submit_messages(self, items: int, operation: str = "noop") -> str:
        """Submit by bare stubs; answers the batch's id. Raises AioRpcError."""
        options = pb.BatchOptions(operation=operation)
        if items <= UNARY_ITEMS:
            request = pb.SubmitBatchRequest(options=options, items=self.input_messages(items))
            return (await self.stub.SubmitBatch(request)).batch_id

        async def requests() -> AsyncIterator[pb.SubmitBatchStreamRequest]:
            yield pb.SubmitBatchStreamRequest(options=options)
            for first in range(0, items, 1_000):
                run = self.input_messages(min(1_000, items - first), first)
                yield pb.SubmitBatchStreamRequest(items=pb.BatchImageInputs(items=run))

        return (await self.stub.SubmitBatchStream(requests())).batch_id

    async def watch_messages(self, batch_id: str) -> AsyncIterator[pb.WatchBatchResponse]:
        """Watch the batch's outcomes by bare stubs."""
        async for message in self.stub.WatchBatch(pb.WatchBatchRequest(batch_id=batch_id)):
            yield message

    def cpu_s(self) -> float:
        """Processor time of the server's own process so far."""
        times = psutil.Process(self.process.process.pid).cpu_times()
        return float(times.user + times.system)


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    database_url: str | None = None,
    workers: int = WORKERS,
    warm: str = "noop",
    kind: type[ServerProcess] = ServerProcess,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Ours]:
    """Run a server on SQLite (synchronous=FULL) in `folder`, or on PostgreSQL, with an operation loaded."""
    chosen = {
        "workers": str(workers),
        "warm_operations": warm,
        "log_level": "warning",
        **({"database_url": database_url} if database_url else {}),
        **(settings or {}),
    }
    process = kind(folder / "data", chosen, operations.REFERENCES)
    process.start()
    try:
        async with AsyncBatchClient(process.address) as client, open_channel(process.address) as channel:
            uploaded = await client.upload_image(picture())
            yield Ours(process, client, channel, uploaded.object_key)
    finally:
        if process.process.poll() is None:
            process.stop()


def open_channel(address: str) -> aio.Channel:
    """Open a channel as our client does."""
    return aio.insecure_channel(address, options=CHANNEL_OPTIONS)


WATCH = "/imagebatch.v1.BatchService/WatchBatch"
SUBMIT_STREAM = "/imagebatch.v1.BatchService/SubmitBatchStream"


def byte_stream(channel: aio.Channel, method: str) -> aio.UnaryStreamMultiCallable[bytes, bytes]:
    """Prepare a call that answers a stream, whose messages stay bytes."""
    call: aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(method)
    return call


def picture() -> bytes:
    """Make the smallest picture that an item may have."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 120, 40)).save(file, "PNG")
    return file.getvalue()


def answers_of(message: Any) -> list[dict[str, Any]]:
    """Pick what `work.check` looks at out of a message with results."""
    found = []
    for result in message.results:
        if result.error_code:
            raise work.WrongResults(f"item {result.item_index} ended with {result.error_message}")
        fields = result.output_data.fields
        found.append({"index": int(fields["index"].number_value), "name": fields["name"].string_value})
    return found
