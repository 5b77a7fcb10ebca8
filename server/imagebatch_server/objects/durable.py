"""Files that survive power loss, or leave nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path

from imagebatch_server.batches.errors import ObjectExists, StoreUnavailable


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file; its bytes are durable on return, its name is once its folder is synced."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def name_once(part: Path, target: Path) -> None:
    """Give a file its name, as `rename` does but for taking the place of another. Raises ObjectExists."""
    try:
        os.link(part, target)
    except FileExistsError as error:
        raise ObjectExists(target.name) from error
    part.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: which files are there, not what they hold."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def in_parallel(threads: ThreadPoolExecutor, work: Callable[..., None], *columns: Iterable[object]) -> None:
    """Call `work` for each row, one of them in this thread; raise an error of theirs, once none is running any more."""
    rows = list(zip(*columns, strict=True))
    running = [threads.submit(work, *row) for row in rows[1:]]
    try:
        for row in rows[:1]:
            work(*row)
    finally:
        wait(running)
    for call in running:
        call.result()


@contextmanager
def removed_on_error(paths: Iterable[Path]) -> Iterator[None]:
    """Remove these files if the block fails."""
    try:
        yield
    except BaseException:
        for path in paths:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn an OSError of the block into StoreUnavailable."""
    try:
        yield
    except OSError as error:
        # Without the path: the message goes to callers, who have no business with the server's folders.
        raise StoreUnavailable(
            f"objects can't be read or written ({error.strerror or type(error).__name__})"
        ) from error
