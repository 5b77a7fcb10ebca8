"""`describe` on real photographs by two workers, beside the same function in a ProcessPoolExecutor of two."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import work
from benchmarks.measure import Line, Mark, Report, Round, Scale, interleave
from benchmarks.ours import WORKERS, Ours, serving
from benchmarks.rows.folders import data_folder
from imagebatch_client import BatchImageInput
from imagebatch_server.app.demo import PHOTOGRAPHS

ROW = "describe"
RATE = "images/s"
MARK = Mark(at_least=0.95)

_loaded: list[Any] = []


async def measure(scale: Scale, report: Report) -> None:
    photographs = [path.read_bytes() for path in _photographs()]
    images = list(itertools.islice(itertools.cycle(photographs), scale.pictures))
    with data_folder() as folder, _pool() as pool:
        async with serving(folder, warm="describe") as ours:
            uploaded = [await ours.client.upload_image(image) for image in photographs]
            keys = list(itertools.islice(itertools.cycle([each.object_key for each in uploaded]), scale.pictures))
            found = await interleave({"ours": _ours(ours, keys), "pool": _in_pool(pool, images)}, min(scale.rounds, 3))
    report.add(
        Line(ROW, f"describe, {scale.pictures} photographs, {WORKERS} workers", RATE, found["ours"][RATE],
             "the same function in a ProcessPoolExecutor of 2, one image at a time", found["pool"][RATE], MARK)
    )  # fmt: skip


def _ours(ours: Ours, object_keys: Sequence[str]) -> Round:
    async def run() -> Mapping[str, float]:
        started_at = time.perf_counter()
        batch = await ours.client.submit("describe", [BatchImageInput(object_key=key) for key in object_keys])
        results = [result async for result in ours.client.watch(batch.batch_id)]
        took_s = time.perf_counter() - started_at
        _check({result.item_index: result.description for result in results}, len(object_keys))
        return {RATE: len(object_keys) / took_s}

    return run


def _in_pool(pool: ProcessPoolExecutor, images: Sequence[bytes]) -> Round:
    async def run() -> Mapping[str, float]:
        started_at = time.perf_counter()
        outputs = list(pool.map(_describe, images, chunksize=1))
        took_s = time.perf_counter() - started_at
        _check({index: output["description"] for index, output in enumerate(outputs)}, len(images))
        return {RATE: len(images) / took_s}

    return run


def _check(descriptions: Mapping[int, str | None], images: int) -> None:
    if sorted(descriptions) != list(range(images)) or not all(descriptions.values()):
        raise work.WrongResults(f"{images} images were to be described, each once")


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn"), initializer=_load)


def _load() -> None:
    """In the pool's processes: what a worker's child does once."""
    from imagebatch_server.operations.describe import Describe

    operation = Describe()
    operation.load()
    _loaded.append(operation)


def _describe(data: bytes) -> dict[str, Any]:
    from imagebatch_server.images.decode import Image
    from imagebatch_server.operations.base import ItemContext

    [operation] = _loaded
    answer: dict[str, Any] = operation.run(
        Image.open(data), operation.parameters(), ItemContext(item_index=0)
    ).model_dump(mode="json")
    return answer


def _photographs() -> Sequence[Path]:
    import importlib.util

    found = []
    for package, names in PHOTOGRAPHS.items():
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            found += [Path(spec.origin).parent / name for name in names]
    return [path for path in found if path.exists()]
