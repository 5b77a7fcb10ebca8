"""From what was typed (files, folders, URLs, a list on standard input) to the images of a batch."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from imagebatch_client.cli.connection import usage_error

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpeg", ".jpg", ".jxl", ".png", ".tif", ".tiff", ".webp"}
)
_SUFFIXES_TEXT = ".jpg, .png, .webp, .gif, .tif and the like"
_NOT_IN_ITEM_ID = re.compile(r"[^A-Za-z0-9_.:/-]+")
_MAX_ITEM_ID = 128
_URL = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file to upload; `name` is its path as seen from what was typed."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """An image that the server fetches by itself."""

    url: str


Source = ImageFile | ImageUrl


def find_sources(typed: Iterable[str]) -> list[Source]:
    """Everything that PATH arguments name, in their order; folders sorted by name.

    Raises InvalidRequestError for a path that does not exist, is no image by its name, or is a folder without images.
    """
    return [source for argument in typed for source in _expanded(argument)]


def _expanded(argument: str) -> Iterator[Source]:
    if argument == "-":
        for line in sys.stdin:
            if line.strip():
                yield from _of_path(line.rstrip("\r\n"))
    else:
        yield from _of_path(argument)


def _of_path(argument: str) -> Iterator[Source]:
    if _URL.match(argument):
        yield ImageUrl(argument)
        return
    path = Path(argument)
    if path.is_dir():
        yield from _of_folder(path)
    elif not path.exists():
        raise usage_error("PATH", f"{argument} does not exist; give image files, folders or http(s) URLs")
    elif path.suffix and path.suffix.lower() not in IMAGE_SUFFIXES:
        raise usage_error("PATH", f"{argument} is no image by its name; images end in {_SUFFIXES_TEXT}")
    else:
        yield ImageFile(path, _text(path.name))


def _of_folder(folder: Path) -> Iterator[ImageFile]:
    found = False
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if not name.startswith(".") and path.suffix.lower() in IMAGE_SUFFIXES:
                if not path.exists():
                    sys.stderr.write(f"imagebatch: {_text(str(path))} leads nowhere and is passed over\n")
                    continue
                found = True
                yield ImageFile(path, _text(path.relative_to(folder).as_posix()))
    if not found:
        raise usage_error("PATH", f"{folder} has no images in it; they end in {_SUFFIXES_TEXT}")


def _text(name: str) -> str:
    """A file's name as valid Unicode: names on disk are bytes, and messages hold text."""
    return os.fsencode(name).decode(errors="replace")


def item_ids(names: Iterable[str]) -> list[str]:
    """An item_id for each name: the name in the characters allowed, made unique by a number where two are alike."""
    taken: set[str] = set()
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
