"""An executor on real child processes, and the smallest real things around it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import PIL.Image
import psutil
from tests.operations_for_tests import OPERATIONS

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server import structs
from imagebatch_server.batches.errors import ItemError, ObjectNotFound
from imagebatch_server.batches.model import AttemptResult, BlobName, Dispatch, Item
from imagebatch_server.batches.ports.objects import BlobWriter, NewBlob
from imagebatch_server.executors.local.executor import PooledExecutor
from imagebatch_server.executors.processes.child_session import ChildSettings
from imagebatch_server.executors.processes.pool import LocalPool
from imagebatch_server.executors.supply.fetch_session import FetchedFile, FetchRequest
from imagebatch_server.images.downloads import SLOW_AFTER_S

MIB = 1024 * 1024


def png(width: int = 4, height: int = 4) -> bytes:
    """Make a small picture."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (width, height), (10, 20, 30)).save(file, "PNG")
    return file.getvalue()


PICTURE = png()


def file(data: bytes = PICTURE, content_type: str = "image/png") -> FetchedFile:
    """Make what a host sent."""
    return FetchedFile(data, content_type, took_s=0.0)


class MemoryBlobs:
    """A blob store in memory. `before_read` and `before_write` may raise or wait in its stead."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {"tenant.picture": PICTURE}
        self._numbers = count()
        self.before_read: Callable[[], None] = lambda: None
        self.before_write: Callable[[], None] = lambda: None

    def new_key(self, tenant: str) -> str:
        return f"{tenant}.{next(self._numbers)}"

    async def put_many(self, blobs: Sequence[NewBlob]) -> None:
        self.before_write()
        self.blobs.update({blob.key: blob.data for blob in blobs})

    async def get_many(
        self, names: Sequence[BlobName], *, max_bytes: int, max_total_bytes: int
    ) -> Sequence[bytes | ItemError]:
        self.before_read()
        found: list[bytes | ItemError] = []
        held_bytes = 0
        for name in names:
            if found and held_bytes >= max_total_bytes:
                break
            found.append(self._get(name, max_bytes))
            held_bytes += len(self.blobs.get(name.object_key, b""))
        return found

    def writer(self, key: str, content_type: str) -> BlobWriter:
        raise NotImplementedError  # no executor writes in chunks

    async def read(self, name: BlobName, start_bytes: int = 0) -> AsyncGenerator[bytes, None]:
        if name.object_key not in self.blobs:
            raise ObjectNotFound(name.object_key)
        yield self.blobs[name.object_key]

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.blobs.pop(key, None)

    def url(self, name: BlobName) -> str | None:
        return None

    async def close(self) -> None:
        self.blobs.clear()

    def _get(self, name: BlobName, max_bytes: int) -> bytes | ItemError:
        key = name.object_key
        if key not in self.blobs or not key.startswith(f"{name.tenant}."):
            return ItemError(ItemErrorCode.OBJECT_NOT_FOUND, f"object {key} does not exist")
        if len(self.blobs[key]) > max_bytes:
            return ItemError(ItemErrorCode.TOO_LARGE, f"object {key} is too large")
        return self.blobs[key]


class ScriptedFetcher:
    """Answer URLs with a picture, or as `answers` says; hold everything back while `gate` is clear."""

    def __init__(self) -> None:
        self.answers: dict[str, FetchedFile | Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = 0
        self.most_running = 0

    async def fetch(self, request: FetchRequest) -> FetchedFile:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        began = asyncio.get_running_loop().time()
        slow = asyncio.get_running_loop().call_later(SLOW_AFTER_S, request.on_slow)
        try:
            await self.gate.wait()
            answer = self.answers.get(request.url, file())
            if isinstance(answer, Exception):
                raise answer
            await request.admit(len(answer.data))
            return replace(answer, took_s=asyncio.get_running_loop().time() - began)
        finally:
            slow.cancel()
            self.running -= 1


@dataclass
class Recorded:
    """What an executor reported, in order, and a way to wait for it."""

    events: list[tuple[str, Dispatch]] = field(default_factory=list)
    results: dict[int, AttemptResult] = field(default_factory=dict)
    on_event: Callable[[str, Dispatch], None] = lambda name, dispatch: None
    _names: dict[int, list[str]] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def fetched(self, dispatch: Dispatch) -> None:
        self._add("fetched", dispatch)

    def answered(self, dispatch: Dispatch) -> None:
        self._add("answered", dispatch)

    def started(self, dispatch: Dispatch) -> None:
        self._add("started", dispatch)

    def finished(self, result: AttemptResult) -> None:
        assert result.dispatch.item.item_index not in self.results, "an attempt finished twice"
        self.results[result.dispatch.item.item_index] = result
        self._add("finished", result.dispatch)

    def fetch_is_slow(self, dispatch: Dispatch) -> None:
        self._changed.set()

    def room_grew(self) -> None:
        self._changed.set()

    def names_of(self, item_index: int) -> list[str]:
        """Collect the events of one item."""
        return self._names.get(item_index, [])

    async def until(self, holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Wait for a fact, looked at after each event."""
        async with asyncio.timeout(timeout_s):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def finish(self, count: int, timeout_s: float = 30.0) -> dict[int, AttemptResult]:
        """Wait until so many attempts have finished."""
        await self.until(lambda: len(self.results) >= count, timeout_s)
        return self.results

    def _add(self, name: str, dispatch: Dispatch) -> None:
        self.events.append((name, dispatch))
        self._names.setdefault(dispatch.item.item_index, []).append(name)
        self.on_event(name, dispatch)
        self._changed.set()


@dataclass
class Bench:
    """One executor with what is around it."""

    executor: PooledExecutor
    pool: LocalPool
    blobs: MemoryBlobs
    fetcher: ScriptedFetcher
    recorded: Recorded
    submitted: int = 0

    def submit(
        self,
        metadata: Mapping[str, Any] | None = None,
        *,
        operation: str = "scripted",
        parameters: Mapping[str, Any] | None = None,
        key: str = "tenant.picture",
        url: str | None = None,
        timeout_s: float = 30.0,
        batch_id: str = "batch",
    ) -> Dispatch:
        """Submit one attempt; items are numbered from 0."""
        item = Item(
            item_index=self.submitted,
            item_id=None,
            image_url=url,
            object_key=None if url else key,
            size_bytes=None,
            sha256=None,
            declared_type="image/png",
            metadata=None if metadata is None else structs.from_dict(metadata),
        )
        self.submitted += 1
        given = None if parameters is None else structs.from_dict(parameters)
        dispatch = Dispatch("tenant", batch_id, 1, 1, item, operation, given, timeout_s, lane="")
        self.executor.submit(dispatch)
        return dispatch

    async def run(self, metadata: Mapping[str, Any] | None = None, **how: Any) -> AttemptResult:
        """Submit one attempt and wait for its end."""
        dispatch = self.submit(metadata, **how)
        index = dispatch.item.item_index
        await self.recorded.until(lambda: index in self.recorded.results)
        return self.recorded.results[index]

    async def warm_up(self, operation: str = "scripted", items: int = 40) -> None:
        """Let the executor learn that items are quick, so that chunks are long; none of it stays recorded."""
        done = len(self.recorded.results)
        for _ in range(items):
            self.submit(operation=operation)
        await self.recorded.finish(done + items)

    def pids(self) -> list[int]:
        """Of the children that run."""
        return [worker.pid for worker in self.pool._workers if worker.pid is not None]


@asynccontextmanager
async def bench(*, workers: int = 1, grace_s: float = 0.0, **settings: Any) -> AsyncGenerator[Bench, None]:
    """Start an executor, and stop it. No callback or task of its may have failed unseen."""
    blobs, fetcher, recorded = MemoryBlobs(), ScriptedFetcher(), Recorded()
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    chunk_items = settings.pop("chunk_items", None)
    own: dict[str, Any] = {
        name: settings.pop(name) for name in ("max_image_bytes", "max_ready_bytes", "resolve") if name in settings
    }
    child: dict[str, Any] = {
        "operations": OPERATIONS,
        "warm": (),
        "max_image_pixels": 100_000_000,
        "memory_bytes": 1024 * MIB,
    }
    pool = LocalPool(ChildSettings(**(child | settings)), workers, chunk_items)
    limits: dict[str, Any] = {"max_image_bytes": 50 * MIB, "max_ready_bytes": 64 * MIB}
    executor = PooledExecutor(pool=pool, fetcher=fetcher, blobs=blobs, chunk_items=chunk_items, **(limits | own))
    await executor.start(recorded)
    try:
        yield Bench(executor, pool, blobs, fetcher, recorded)
    finally:
        await executor.stop(grace_s)
    assert not unseen


def runs(pid: int) -> bool:
    """Whether a process has not ended yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def eventually(holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for a fact that no event tells of."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(0.005)


def took_ms(result: AttemptResult) -> int:
    """How long the attempt took."""
    assert result.outcome.processing_time_ms is not None
    return result.outcome.processing_time_ms


def output(result: AttemptResult) -> dict[str, Any]:
    """Answer what a successful attempt did."""
    assert result.outcome.error_code is None, result.outcome.error_message
    return structs.to_dict(result.outcome.output_data)
