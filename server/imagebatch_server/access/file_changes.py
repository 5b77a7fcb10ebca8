"""Files that servers read by themselves: changing one, whole or not at all, and what is wrong in one."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError


@contextmanager
def exclusively(path: Path) -> Iterator[Callable[[str], None]]:
    """Hand out what replaces the file, while nobody else changes it; a new file is the user's alone. Raises OSError."""
    path = path.resolve()  # a link stays one
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)

    def write(text: str) -> None:
        _replace(path, text)
        os.fsync(folder)

    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # of the folder: the file itself is replaced
        yield write
    finally:
        os.close(folder)


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600
    written = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if path.exists():
                before = path.stat()
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
                os.fchown(file.fileno(), before.st_uid, before.st_gid)  # the server may be another user's
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
    except BaseException:
        written.unlink()
        raise


def problems(error: ValidationError) -> str:
    """Name the first things that are wrong in a file, and quote nothing of it."""
    return "; ".join(_problem(each["loc"], each["msg"]) for each in error.errors()[:5])


def _problem(place: Sequence[int | str], message: str) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")
    return f"{path or 'the file'}: {message.removeprefix('Value error, ')}"
