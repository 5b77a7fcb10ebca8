"""Image files on their way to a batch: how they are named there, and whether they can be sent at all."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from imagebatch_client import requests
from imagebatch_client.errors import FieldViolation, InvalidRequestError
from imagebatch_client.types import BatchImageInput, UploadedImage, UploadProgress

AnyPath: TypeAlias = "str | os.PathLike[str] | ImageFile"

FILES_AT_A_TIME = 8
"""Uploads of one `upload_files` that are under way together: enough to fill a connection."""

_NOT_IN_ITEM_ID = re.compile(r"[^A-Za-z0-9_.:/-]+")
_MAX_ITEM_ID = 128
_READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file to upload; `name` is what it is called in the batch."""

    path: Path
    name: str


def image_files(paths: Iterable[AnyPath]) -> list[ImageFile]:
    """Files by their paths, called by the last part of them. Raises InvalidRequestError for what is no path."""
    files = []
    for index, path in enumerate(requests.iterated(paths, "paths")):
        if isinstance(path, ImageFile):
            files.append(path)
        elif isinstance(path, (str, os.PathLike)):
            files.append(ImageFile(Path(path), valid_text(Path(path).name)))
        else:
            raise InvalidRequestError.of_field(f"paths[{index}]", f"is {type(path).__name__}; give the path of a file")
    return files


def valid_text(name: str) -> str:
    """Turn a file's name into valid Unicode: names on disk are bytes, and messages hold text."""
    try:
        return os.fsencode(name).decode(errors="replace")
    except UnicodeEncodeError:  # no name that a disk gave
        return name.encode(errors="replace").decode()


def item_ids(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Make an item_id of each name, in the characters allowed and unique by a number where two are alike.

    `taken` are ids of other items.
    """
    taken = set(taken)
    ids = []
    for name in names:
        base = _NOT_IN_ITEM_ID.sub("_", name)[-_MAX_ITEM_ID:]
        candidate, number = base, 1
        while candidate in taken:
            number += 1
            ending = f"-{number}"
            candidate = base[: _MAX_ITEM_ID - len(ending)] + ending
        taken.add(candidate)
        ids.append(candidate)
    return ids


def items_of(files: Sequence[ImageFile], images: Sequence[UploadedImage]) -> list[BatchImageInput]:
    """Make the items that `files` become once they are uploaded."""
    ids = item_ids(file.name for file in files)
    return [
        BatchImageInput(object_key=image.object_key, item_id=item_id, metadata={"file_name": file.name})
        for file, item_id, image in zip(files, ids, images, strict=True)
    ]


def sizes_of(files: Sequence[ImageFile], max_bytes: int) -> list[int]:
    """Measure the files' sizes in bytes. Raises InvalidRequestError with every file that can't be sent.

    Nothing is opened: to open a pipe would wait for somebody who writes to it.
    """
    sizes, problems = [], []
    for file in files:
        problem, size_bytes = problem_of(file.path, max_bytes)
        sizes.append(size_bytes)
        if problem:
            problems.append(f"{file.path} {problem}")
    if problems:
        violations = [FieldViolation("PATH", problem) for problem in problems]
        first = str(violations[0]) if len(violations) == 1 else f"PATH: {len(violations)} files can't be sent"
        raise InvalidRequestError(first, violations=violations)
    return sizes


def problem_of(path: Path, max_bytes: int) -> tuple[str, int]:
    """Say why a file can't be sent, or nothing, and how many bytes it has."""
    try:
        status = path.stat()
        is_readable = os.access(path, os.R_OK)
    except (OSError, ValueError) as error:
        return f"can't be read: {getattr(error, 'strerror', None) or error}", 0
    if stat.S_ISDIR(status.st_mode):
        return "is a folder; give the files in it", 0
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file (a pipe, a socket or a device); give files that hold an image", 0
    if not is_readable:
        return "can't be read: Permission denied", 0
    if status.st_size > max_bytes:
        return f"has {status.st_size:,} bytes; the server takes {max_bytes:,}: make it smaller", status.st_size
    return "", status.st_size


def unreadable(file: ImageFile, error: OSError) -> InvalidRequestError:
    """Make the error of a file that could be read when all were looked at, and can't be any more."""
    return InvalidRequestError.of_field("PATH", f"{file.path} can't be read any more: {error.strerror or error}")


def sha256_of(path: Path) -> str:
    """Of a file's bytes, 64 lower-case hexadecimal digits. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


class Progress:
    """Count what is uploaded, and tell whoever wants to know."""

    def __init__(self, sizes: Sequence[int], told: Callable[[UploadProgress], object] | None) -> None:
        self._told = told
        self._now = UploadProgress(0, len(sizes), 0, sum(sizes))

    def done(self, size_bytes: int) -> None:
        """One more file is on the server."""
        now = self._now
        self._now = UploadProgress(now.files + 1, now.total_files, now.size_bytes + size_bytes, now.total_bytes)
        if self._told is not None:
            self._told(self._now)
