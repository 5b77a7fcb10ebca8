"""Callers who ask a server for as much memory as they can get, all at once, and how their calls end."""

from __future__ import annotations

import base64
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item, refusal, watched

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.types_pb2 import BatchImageInput

MIB = 1024 * 1024
UPLOAD_BYTES = 40 * MIB
ITEM_BYTES = MIB * 4 // 3 + 1024
"""Of an item with a MiB as base64."""


def large_input() -> BatchImageInput:
    """Make an input of a MiB, which is no image."""
    return item(image_base64="data:image/png;base64," + base64.b64encode(bytes(MIB)).decode())


class Pressure:
    """`callers` of each kind on one server, each of which makes so many calls."""

    def __init__(self, address: str, callers: int, calls: int) -> None:
        self._raw = Raw(address)
        limits = self._raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest()).limits
        self._items = limits.max_request_bytes // ITEM_BYTES
        self._callers = callers
        self._calls = calls
        picture = pictures.data_url(pictures.drawn())
        self._watched = self._raw.submit([item(image_base64=picture)] * 1_000, "thumbnail").batch_id

    def exert(self) -> Counter[str]:
        """Make all calls, and count how they ended by kind; a refusal by its status and the limit that it names."""
        kinds = [self._submit, self._stream, self._upload, self._watch, self._page]
        work = [kind for kind in kinds for _ in range(self._callers)]
        random.shuffle(work)
        with ThreadPoolExecutor(len(work)) as threads:
            return sum(threads.map(self._repeat, work), Counter())

    def close(self) -> None:
        """Hang up."""
        self._raw.close()

    def _repeat(self, kind: Callable[[], object]) -> Counter[str]:
        return Counter(f"{kind.__name__[1:]} {_ended(kind)}" for _ in range(self._calls))

    def _submit(self) -> None:
        self._raw.submit([large_input()] * self._items, "thumbnail")

    def _stream(self) -> None:
        def messages() -> Iterator[batch_service_pb2.SubmitBatchStreamRequest]:
            yield batch_service_pb2.SubmitBatchStreamRequest(
                options=batch_service_pb2.BatchOptions(operation="thumbnail")
            )
            inputs = batch_service_pb2.BatchImageInputs(items=[large_input()] * min(3, self._items))
            for _ in range(10):
                yield batch_service_pb2.SubmitBatchStreamRequest(items=inputs)

        self._raw.batches.SubmitBatchStream(messages(), timeout=180)

    def _upload(self) -> None:
        self._raw.upload(bytes(UPLOAD_BYTES), chunk_bytes=MIB)

    def _watch(self) -> None:
        watched(self._raw.watch(self._watched))

    def _page(self) -> None:
        self._raw.pages(self._watched, limit=1_000)


def _ended(call: Callable[[], object]) -> str:
    try:
        call()
    except grpc.RpcError as error:
        told = refusal(error)
        return f"{told.code.name} {told.metadata.get('limit', told.reason)}"
    return "OK"
