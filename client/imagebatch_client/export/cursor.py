"""How far an export has come, kept beside what it has written, so that a repeat goes on from there."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from imagebatch_client.errors import InvalidRequestError

_NAME: Final = "cursor.json"


@dataclass(frozen=True)
class Cursor:
    """What is exported, and how much of it is on disk."""

    batch_id: str
    operation: str
    total_items: int
    output_schema: dict[str, Any] | None
    items: int = 0
    waiting_items: int = 0
    """Those of `items` that had no outcome when they were read."""
    size_bytes: int = 0
    """What a file of text has with these items."""


class Workplace:
    """The folder beside the exported file in which that is written; only one process at a time works in it."""

    def __init__(self, path: Path) -> None:
        self.folder: Path = path.with_name(f"{path.name}.part")
        self._cursor = self.folder / _NAME
        self._lock: int | None = None

    def open(self) -> Cursor | None:
        """Take the folder, and read how far its export has come.

        None if there is none, or one that can't go on: of another version, which may lay items out otherwise. Raises
        InvalidRequestError if another process works in it, or if it is no export's.
        """
        if not self.folder.is_dir():
            return None
        self._take()
        try:
            kept = json.loads(self._cursor.read_text(encoding="utf-8"))
            return Cursor(**kept["cursor"]) if kept["client_version"] == _version() else None
        except FileNotFoundError:
            if any(path.name != f"{_NAME}.new" for path in self.folder.iterdir()):
                raise _refused(f"{self.folder} is there, and is no started export; move it away") from None
        except (ValueError, TypeError, KeyError):
            pass  # from a power failure, or of another version
        return None

    def begin(self, cursor: Cursor) -> None:
        """Make the folder, empty but for the cursor."""
        self.folder.mkdir(exist_ok=True)
        self._take()
        for path in self.folder.iterdir():
            if path != self._cursor:
                path.unlink()
        self.save(cursor)

    def save(self, cursor: Cursor) -> None:
        """Keep the cursor. What it counts must be on disk before."""
        new = self.folder / f"{_NAME}.new"
        kept = {"client_version": _version(), "cursor": asdict(cursor)}
        new.write_text(json.dumps(kept), encoding="utf-8")
        new.replace(self._cursor)

    def close(self) -> None:
        """Leave it to a repeat."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Remove all of it, the cursor last: without it the rest would belong to nobody."""
        for path in self.folder.iterdir():
            if path != self._cursor:
                path.unlink()
        self._cursor.unlink(missing_ok=True)
        self.folder.rmdir()

    def _take(self) -> None:
        if sys.platform == "win32" or self._lock is not None:
            return
        import fcntl

        self._lock = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _refused(f"another process exports to it, in {self.folder}; wait until that is done") from None


def _version() -> str:
    return metadata.version("imagebatch-client")


def _refused(description: str) -> InvalidRequestError:
    return InvalidRequestError.of_field("path", description)
