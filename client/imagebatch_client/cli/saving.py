"""Downloaded images as files: their names, and how they are written, whole or not at all."""

from __future__ import annotations

import errno
import mimetypes
import re
from contextlib import suppress
from pathlib import Path

import typer

from imagebatch_client.cli import exits
from imagebatch_client.cli.connection import usage_error
from imagebatch_client.cli.sources import IMAGE_SUFFIXES
from imagebatch_client.cli.terminal import note

PART = ".part"
"""The ending of a file that is being written."""

_NOT_IN_NAME = re.compile(r"[^\w.-]+")
_MAX_STEM = 100


def safe_name(given: str, content_type: str) -> str:
    """Make a file name of one that another caller gave: it hides nothing, is no option, and ends as an image does."""
    last = Path(re.split(r"[/\\]", given)[-1])
    stem = _NOT_IN_NAME.sub("_", last.stem).strip("._-")[:_MAX_STEM] or "image"
    if last.suffix.lower() in IMAGE_SUFFIXES:
        return stem + last.suffix.lower()
    guessed = mimetypes.guess_extension(content_type) if content_type.startswith("image/") else None
    return stem + (guessed if guessed in IMAGE_SUFFIXES else ".bin")


def check_free(path: Path, *, replaces: bool) -> None:
    """Raise InvalidRequestError if a file is there that is not to be replaced."""
    if path.is_file() and not replaces:
        raise usage_error("--output", f"{path} is there already; give another name, or --force")


def write_file(path: Path, content: bytes, *, replaces: bool) -> None:
    """Write an image to where nothing is, or, if it `replaces`, over what is there; or into a pipe or a device.

    Raises InvalidRequestError for a file that is there or can't be written, and typer.Exit on a full disk, which is no
    wrong usage.
    """
    check_free(path, replaces=replaces)
    part = path.with_name(f"{path.name}{PART}")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        try:
            part.write_bytes(content)
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            note(f"imagebatch: {path} can't be written: {error.strerror}")
            raise typer.Exit(exits.OUTPUT_FAILED) from error
        raise usage_error("--output", f"{path} can't be written: {error.strerror}; give another name") from error
