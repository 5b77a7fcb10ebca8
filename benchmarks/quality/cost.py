"""What a description costs: milliseconds an image and the memory of the process, in one of its own."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

_KILOBYTES = 1024 if sys.platform == "darwin" else 1
"""macOS counts memory in bytes."""


@dataclass(frozen=True)
class Cost:
    """Of one set of images, with one worker and one thread."""

    images: int
    median_ms: float
    p90_ms: float
    cpu_ms: float
    """Mean of the processor's time, which other programs don't stretch."""
    load_s: float
    loaded_mb: float
    peak_mb: float


def measure(paths: Sequence[Path], parameters: dict[str, object]) -> Cost:
    """Describe each image once, as a worker's child does."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_describe, list(paths), parameters).result()


def _describe(paths: Sequence[Path], parameters: dict[str, object]) -> Cost:
    from imagebatch_server.images.decode import Image
    from imagebatch_server.operations.base import ItemContext
    from imagebatch_vision.describe import Describe, DescribeParameters

    started_at = time.perf_counter()
    operation = Describe()
    operation.load()
    load_s, loaded_mb = time.perf_counter() - started_at, _peak_mb()
    chosen = DescribeParameters.model_validate(parameters)
    times_ms, cpu_s = [], time.process_time()
    for path in paths:
        data = path.read_bytes()
        begun_at = time.perf_counter()
        operation.run(Image.open(data), chosen, ItemContext(item_index=0))
        times_ms.append((time.perf_counter() - begun_at) * 1000)
    cpu_ms = (time.process_time() - cpu_s) / len(paths) * 1000
    times_ms.sort()
    median, p90 = times_ms[len(times_ms) // 2], times_ms[len(times_ms) * 9 // 10]
    return Cost(len(paths), median, p90, cpu_ms, load_s, loaded_mb, _peak_mb())


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KILOBYTES / 1024
