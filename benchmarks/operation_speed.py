"""Images a second of one of our operations through the service, beside the same function in a plain process pool."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from benchmarks import work
from benchmarks.measure import Line, Mark, Round, interleave
from benchmarks.ours import WORKERS, Ours, serving
from benchmarks.plain_pool import plain_pool, run_all
from benchmarks.rows.folders import data_folder
from imagebatch_client import BatchImageInput

RATE = "images/s"
MARK = Mark(at_least=0.95)
STORES = {"thumbnail": ", which writes and syncs file and folder too"}


async def measure(row: str, operation: str, photographs: Sequence[bytes], images: int, rounds: int) -> Line:
    """Both sides run the operation on the photographs, again and again until it is so many images."""
    with data_folder() as folder:
        plain = folder / "plain"
        plain.mkdir()
        with plain_pool(operation, WORKERS, plain) as pool:
            async with serving(folder, warm=operation) as ours:
                keys = [(await ours.client.upload_image(data)).object_key for data in photographs]
                answers = _Answers(len(photographs), images)
                found = await interleave(
                    {
                        "ours": _ours(ours, operation, _cycled(keys, images), answers),
                        "pool": _in_pool(pool, _cycled(photographs, images), answers),
                    },
                    rounds,
                )
    return Line(
        row,
        f"{operation}, {images:,} images of {len(photographs)} photographs, {WORKERS} workers",
        RATE,
        found["ours"][RATE],
        f"the same function in a ProcessPoolExecutor of {WORKERS}, one image at a time{STORES.get(operation, '')}",
        found["pool"][RATE],
        MARK,
    )


@dataclass
class _Answers:
    """What came of each photograph, which has to be the same on both sides and in every round."""

    photographs: int
    images: int
    known: dict[int, Mapping[str, Any]] = field(default_factory=dict)

    def check(self, outputs: Mapping[int, Mapping[str, Any] | None]) -> None:
        """Raise WrongResults unless all images are there, each with the answer that is known."""
        if sorted(outputs) != list(range(self.images)):
            raise work.WrongResults(f"{len(outputs)} of {self.images} images came back, or not once each")
        for index, output in outputs.items():
            if not output or output != self.known.setdefault(index % self.photographs, output):
                raise work.WrongResults(f"image {index} came back as {output}")


def _cycled(values: Sequence[Any], count: int) -> list[Any]:
    return list(itertools.islice(itertools.cycle(values), count))


def _ours(ours: Ours, operation: str, object_keys: Sequence[str], answers: _Answers) -> Round:
    async def run() -> Mapping[str, float]:
        started_at = time.perf_counter()
        batch = await ours.client.submit(operation, [BatchImageInput(object_key=key) for key in object_keys])
        results = [result async for result in ours.client.watch(batch.batch_id)]
        took_s = time.perf_counter() - started_at
        answers.check({result.item_index: result.output_data for result in results})
        return {RATE: len(object_keys) / took_s}

    return run


def _in_pool(pool: ProcessPoolExecutor, images: Sequence[bytes], answers: _Answers) -> Round:
    async def run() -> Mapping[str, float]:
        started_at = time.perf_counter()
        outputs = run_all(pool, images)
        took_s = time.perf_counter() - started_at
        answers.check(dict(enumerate(outputs)))
        return {RATE: len(images) / took_s}

    return run
