"""Items that may come asynchronously, and the messages that carry them."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import TypeAlias

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch_client import requests
from imagebatch_client.types import BatchImageInput

Items: TypeAlias = Iterable[BatchImageInput] | AsyncIterable[BatchImageInput]


async def item_chunks(items: Items) -> AsyncIterator[list[types_pb2.BatchImageInput]]:
    """Split `items` into chunks, which are read as they are asked for."""
    if not isinstance(items, AsyncIterable):
        for chunk in requests.item_chunks(items):
            yield chunk
        return
    chunks = requests.ItemChunks()
    async for item in items:
        if full := chunks.add(item):
            yield full
    if rest := chunks.rest():
        yield rest


async def after(
    read: list[list[types_pb2.BatchImageInput]], unread: AsyncIterator[list[types_pb2.BatchImageInput]]
) -> AsyncIterator[list[types_pb2.BatchImageInput]]:
    """Put what was read of the chunks before the rest."""
    for chunk in read:
        yield chunk
    async for chunk in unread:
        yield chunk


async def stream(
    options: batch_service_pb2.BatchOptions, chunks: AsyncIterator[list[types_pb2.BatchImageInput]]
) -> AsyncIterator[batch_service_pb2.SubmitBatchStreamRequest]:
    """Make the messages of a streamed submit."""
    yield requests.stream_options(options)
    async for chunk in chunks:
        yield requests.stream_items(chunk)
