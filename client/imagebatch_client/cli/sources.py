"""From what was typed (files, folders, URLs, a list on standard input) to the images of a batch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from imagebatch_client.cli.connection import usage_error
from imagebatch_client.cli.entries import URL, ImageUrl, Source
from imagebatch_client.cli.terminal import note
from imagebatch_client.files import ImageFile, valid_text
from imagebatch_client.texts import one_line

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpeg", ".jpg", ".jxl", ".png", ".tif", ".tiff", ".webp"}
)
_SUFFIXES_TEXT = ".jpg, .png, .webp, .gif, .tif and the like"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of a folder's files are meant, by patterns such as `*.png` or `raw/*`; and how a list is divided."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    is_nul_separated: bool = False
    suffixes: frozenset[str] = field(default=IMAGE_SUFFIXES)

    def has(self, name: str) -> bool:
        """Whether a file of a folder is meant; `name` is its path below the folder."""
        if self.leaves_out(name):
            return False
        if self.include:
            return _matches(name, self.include)
        return Path(name).suffix.lower() in self.suffixes

    def leaves_out(self, name: str) -> bool:
        """Whether a file or folder was left out on purpose."""
        return _matches(name, self.exclude)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether the path, or its last part where the pattern has no slash, matches."""
    last = name.rpartition("/")[2]
    return any(fnmatchcase(name if "/" in pattern else last, pattern.rstrip("/")) for pattern in patterns)


def find_sources(typed: Iterable[str], choice: Choice = Choice()) -> list[Source]:
    """Everything that PATH arguments name, in their order; folders sorted by name.

    Raises InvalidRequestError for a path that does not exist, is no image by its name, or is a folder that can't be
    read or has no image.
    """
    return [source for argument in typed for source in _expanded(argument, choice)]


def _expanded(argument: str, choice: Choice) -> Iterator[Source]:
    if argument == "-":
        is_empty = True
        for line in _listed(choice.is_nul_separated):
            is_empty = False
            yield from _of_path(line, choice)
        if is_empty:
            raise usage_error("PATH", "the list on standard input is empty")
    else:
        yield from _of_path(argument, choice)


def _listed(is_nul_separated: bool) -> Iterator[str]:
    if sys.stdin is None:
        raise usage_error("PATH", "- reads a list from standard input, which is closed")
    if is_nul_separated:
        yield from filter(None, sys.stdin.read().split("\0"))
        return
    for line in sys.stdin:
        if line.strip():
            yield line.rstrip("\r\n")


def _of_path(argument: str, choice: Choice) -> Iterator[Source]:
    if URL.match(argument):
        yield ImageUrl(argument)
        return
    if not argument:
        raise usage_error("PATH", "is empty; give image files or folders, . for the current one")
    if "\0" in argument:
        raise usage_error("PATH", f"{argument!r:.80} holds NUL characters; read such lists with --null")
    path = Path(argument)
    if path.is_dir():
        yield from _of_folder(path, choice)
    elif not os.path.lexists(path):
        remedy = "URLs begin with http:// or https://" if "://" in argument else "give image files or folders"
        raise usage_error("PATH", f"{argument} does not exist; {remedy}")
    elif path.suffix and path.suffix.lower() not in choice.suffixes and not choice.include:
        raise usage_error("PATH", f"{argument} is no image by its name; images end in {_SUFFIXES_TEXT}")
    else:
        yield ImageFile(path, valid_text(path.name))


def _of_folder(folder: Path, choice: Choice) -> Iterator[ImageFile]:
    found = False
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        below = Path(parent).relative_to(folder)
        folders[:] = sorted(name for name in folders if _is_entered(Path(parent, name), below / name, choice))
        for name in sorted(files):
            path, shown = Path(parent, name), (below / name).as_posix()
            if name.startswith(".") or not choice.has(valid_text(shown)):
                continue
            if not path.exists():
                note(one_line(f"imagebatch: {path} leads nowhere and is passed over"))
                continue
            found = True
            yield ImageFile(path, valid_text(shown))
    if not found:
        meant = "matches --include and --exclude" if choice.include or choice.exclude else f"ends in {_SUFFIXES_TEXT}"
        raise usage_error("PATH", f"{folder} has no images in it: nothing there {meant}")


def _is_entered(path: Path, below: Path, choice: Choice) -> bool:
    if path.name.startswith(".") or choice.leaves_out(valid_text(below.as_posix())):
        return False
    if path.is_symlink():
        note(one_line(f"imagebatch: {path} is a link to a folder and is passed over; name it to include it"))
        return False
    return True


def _unreadable(error: OSError) -> None:
    raise usage_error(
        "PATH", f"{error.filename} can't be read: {error.strerror}; make it readable, or leave it out with --exclude"
    ) from error
