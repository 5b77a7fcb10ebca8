"""An operation's own function in a ProcessPoolExecutor: what a script would do without a service."""

from __future__ import annotations

import multiprocessing
import os
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from unittest import mock

from imagebatch_server.images.decode import Image
from imagebatch_server.objects.durable import sync_folder, write_durably
from imagebatch_server.operations.base import ItemContext, Operation, Stored
from imagebatch_server.operations.registry import ENTRY_POINT_GROUP

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""As the service starts its workers: threads of libraries would fight for the cores."""

_loaded: list[tuple[Operation[Any], Path]] = []


@contextmanager
def plain_pool(operation: str, workers: int, folder: Path) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes that have loaded the operation; what it stores goes into `folder`."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _load, (operation, folder)) as pool:
        with mock.patch.dict(os.environ, ONE_THREAD):
            wait([pool.submit(os.getpid) for _ in range(workers)])  # a task that finds nobody idle starts a process
        yield pool


def run_all(pool: ProcessPoolExecutor, images: Sequence[bytes]) -> list[dict[str, Any]]:
    """Make the outputs, one image at a time."""
    return list(pool.map(_run, images, chunksize=1))


def _load(name: str, folder: Path) -> None:
    os.setsid()  # as the service's children: Linux may give a session its share of a busy processor
    [found] = entry_points(group=ENTRY_POINT_GROUP, name=name)
    operation = found.load()()
    operation.load()
    _loaded.append((operation, folder))


def _run(data: bytes) -> dict[str, Any]:
    [(operation, folder)] = _loaded
    result = operation.run(Image.open(data), operation.parameters(), ItemContext(item_index=0))
    if isinstance(result, Stored):
        _store(folder, result.data)
        result = result.output
    output: dict[str, Any] = result.model_dump(mode="json", exclude_none=True)
    return output


def _store(folder: Path, data: bytes) -> None:
    """As durably as the service's blob store: the file, then its name."""
    part = folder / f"{secrets.token_hex(16)}.part"
    write_durably(part, data)
    part.rename(part.with_suffix(""))
    sync_folder(folder)
