"""How an export reaches the disk, format by format: in steps that are safe, and as a whole at the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from imagebatch_client.export.cursor import Cursor
from imagebatch_client.export.form import Form, Images
from imagebatch_client.types import BatchItemResult

ROWS: Final = "rows"


class Spoilt(Exception):
    """What is on disk is not what the cursor says."""


class Writer(Protocol):
    """A file in the making."""

    @property
    def unsaved_bytes(self) -> int:
        """What would be lost with the process."""

    def write(self, items: Sequence[BatchItemResult], images: Images) -> None: ...

    def save(self) -> int:
        """Bring all of it to disk, and answer the bytes that a file of text has by now."""

    def finish(self) -> Path:
        """Write what ends the file, and answer where it is, whole and on disk."""

    def close(self) -> None: ...


class TextWriter:
    """A file of text, which grows at its end."""

    def __init__(self, folder: Path, cursor: Cursor, form: Form) -> None:
        """Go on after what `cursor` counts. Raises Spoilt."""
        self._path = folder / ROWS
        self._form = form
        self._saved_bytes = cursor.size_bytes
        self._file = self._path.open("ab")
        if self._path.stat().st_size < cursor.size_bytes:
            self._file.close()
            raise Spoilt
        self._file.truncate(cursor.size_bytes)
        if not cursor.size_bytes:
            self._file.write(form.head().encode())

    @property
    def unsaved_bytes(self) -> int:
        return self._file.tell() - self._saved_bytes

    def write(self, items: Sequence[BatchItemResult], images: Images) -> None:
        self._file.write(self._form.body(items, images).encode())

    def save(self) -> int:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._saved_bytes = self._file.tell()
        return self._saved_bytes

    def finish(self) -> Path:
        self._file.write(self._form.foot().encode())
        self.save()
        self.close()
        return self._path

    def close(self) -> None:
        self._file.close()
