"""An executor on real child processes, and the smallest real things around it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

import PIL.Image
import psutil
from tests.operations_for_tests import OPERATIONS

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server import structs
from imagebatch_server.batches.errors import ItemError, ObjectNotFound
from imagebatch_server.batches.model import AttemptResult, Dispatch, Item
from imagebatch_server.batches.ports import BlobWriter
from imagebatch_server.executors.local import LocalExecutor

MIB = 1024 * 1024


def png(width: int = 4, height: int = 4) -> bytes:
    """A small picture."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (width, height), (10, 20, 30)).save(file, "PNG")
    return file.getvalue()


PICTURE = png()


class MemoryBlobs:
    """A blob store in memory. `before_read` and `before_write` may raise or wait in its stead."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {"picture": PICTURE}
        self._numbers = count()
        self.before_read: Callable[[], None] = lambda: None
        self.before_write: Callable[[], None] = lambda: None

    def new_key(self, tenant: str) -> str:
        return f"{tenant}.{next(self._numbers)}"

    async def put(self, key: str, data: bytes) -> None:
        await self.put_many([(key, data)])

    async def put_many(self, blobs: Sequence[tuple[str, bytes]]) -> None:
        self.before_write()
        self.blobs.update(blobs)

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        found = self._get(key, max_bytes)
        if isinstance(found, ItemError):
            raise found
        return found

    async def get_many(
        self, keys: Sequence[str], *, max_bytes: int, max_total_bytes: int
    ) -> Sequence[bytes | ItemError]:
        self.before_read()
        found: list[bytes | ItemError] = []
        held_bytes = 0
        for key in keys:
            if found and held_bytes >= max_total_bytes:
                break
            found.append(self._get(key, max_bytes))
            held_bytes += len(self.blobs.get(key, b""))
        return found

    def writer(self, key: str) -> BlobWriter:
        raise NotImplementedError  # no executor writes in chunks

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        if key not in self.blobs:
            raise ObjectNotFound(key)
        yield self.blobs[key]

    async def delete(self, key: str) -> None:
        self.blobs.pop(key, None)

    def written_before(self, at: datetime) -> AsyncGenerator[str, None]:
        raise NotImplementedError  # sweeping is no executor's business

    def url(self, key: str) -> str | None:
        return None

    def _get(self, key: str, max_bytes: int) -> bytes | ItemError:
        if key not in self.blobs:
            return ItemError(ItemErrorCode.OBJECT_NOT_FOUND, f"object {key} does not exist")
        if len(self.blobs[key]) > max_bytes:
            return ItemError(ItemErrorCode.TOO_LARGE, f"object {key} is too large")
        return self.blobs[key]


@dataclass(frozen=True)
class FetchedPicture:
    """What the fetcher answers."""

    data: bytes = PICTURE
    content_type: str | None = "image/png"


class ScriptedFetcher:
    """Answers URLs with a picture, or as `answers` says; holds everything back while `gate` is clear."""

    def __init__(self) -> None:
        self.answers: dict[str, FetchedPicture | Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = 0
        self.most_running = 0

    async def fetch(self, url: str, *, timeout_s: float) -> FetchedPicture:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.gate.wait()
            answer = self.answers.get(url, FetchedPicture())
            if isinstance(answer, Exception):
                raise answer
            return answer
        finally:
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

    def started(self, dispatch: Dispatch) -> None:
        self._add("started", dispatch)

    def finished(self, result: AttemptResult) -> None:
        assert result.dispatch.item.item_index not in self.results, "an attempt finished twice"
        self.results[result.dispatch.item.item_index] = result
        self._add("finished", result.dispatch)

    def room_changed(self) -> None:
        self._changed.set()

    def names_of(self, item_index: int) -> list[str]:
        """The events of one item."""
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

    executor: LocalExecutor
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
        key: str = "picture",
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
        return [worker.pid for worker in self.executor._pool._workers if worker.pid is not None]


@asynccontextmanager
async def bench(*, workers: int = 1, grace_s: float = 0.0, **settings: Any) -> AsyncGenerator[Bench, None]:
    """Start an executor, and stop it. No callback or task of its may have failed unseen."""
    blobs, fetcher, recorded = MemoryBlobs(), ScriptedFetcher(), Recorded()
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    given: dict[str, Any] = {
        "operations": OPERATIONS,
        "workers": workers,
        "memory_bytes": 1024 * MIB,
        "max_image_bytes": 50 * MIB,
        "max_image_pixels": 100_000_000,
        "max_ready_bytes": 64 * MIB,
    }
    executor = LocalExecutor(fetcher=fetcher, blobs=blobs, **(given | settings))
    await executor.start(recorded)
    try:
        yield Bench(executor, blobs, fetcher, recorded)
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


def output(result: AttemptResult) -> dict[str, Any]:
    """What a successful attempt answered."""
    assert result.error_code is None, result.error_message
    return structs.to_dict(result.output_data)
