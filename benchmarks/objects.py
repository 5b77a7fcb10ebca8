"""What a put and a get of one image cost in a folder and in a bucket, one after the other in the same run.

    python -m benchmarks.objects

The bucket is SeaweedFS on this machine, so it shows what the client and HTTP cost, and no provider's distance.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median

from tests.object_servers import SeaweedServer

from imagebatch_server.batches.model import BlobName
from imagebatch_server.batches.ports.objects import BlobStore, NewBlob
from imagebatch_server.objects.bucket_place import BucketPlace
from imagebatch_server.objects.local import LocalBlobStore
from imagebatch_server.objects.remote import RemoteBlobStore

SIZES = (10_000, 100_000, 1_000_000)
ROUNDS = 60
AT_ONCE = 16
"""As many as the server reads and writes at one time."""


async def measure(name: str, store: BlobStore, size_bytes: int) -> None:
    """Print milliseconds: a single put and get at the median, and one of many that go together."""
    data = os.urandom(size_bytes)

    def blobs(count: int) -> list[NewBlob]:
        return [NewBlob(store.new_key("default"), data, "image/png") for _ in range(count)]

    single = [blobs(1) for _ in range(ROUNDS)]
    put_ms = median([await timed(partial(store.put_many, new)) for new in single])

    def get(news: list[NewBlob]) -> Awaitable[object]:
        names = [BlobName("default", new.key) for new in news]
        return store.get_many(names, max_bytes=size_bytes, max_total_bytes=size_bytes * len(names))

    get_ms = median([await timed(partial(get, new)) for new in single])
    many = blobs(4 * AT_ONCE)
    put_many_ms = await timed(partial(store.put_many, many)) / len(many)
    get_many_ms = await timed(partial(get, many)) / len(many)
    figures = (put_ms, get_ms, put_many_ms, get_many_ms)
    print(f"{name:8}{size_bytes:>12,}" + "".join(f"{figure:>12.2f}" for figure in figures))


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds that it takes."""
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1000


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = SeaweedServer(Path(folder))
        server.start()
        try:
            os.environ.update(server.environment)
            stores: dict[str, BlobStore] = {
                "folder": LocalBlobStore(Path(folder) / "objects"),
                "bucket": RemoteBlobStore(BucketPlace(server.url("images")), timedelta(hours=1)),
            }
            print(f"{'':8}{'bytes':>12}{'put, ms':>12}{'get, ms':>12}{'put of 64':>12}{'get of 64':>12}")
            for size_bytes in SIZES:
                for name, store in stores.items():
                    await measure(name, store, size_bytes)
        finally:
            server.kill()


if __name__ == "__main__":
    asyncio.run(main())
