"""An SQLite database's files, which may be deleted or replaced while they are open.

SQLite goes on with the files that it has opened, and what it writes there is gone with the process.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from imagebatch_server.batches.errors import StoreUnavailable

log = structlog.get_logger(__name__)

_Inode = tuple[int, int]


class DatabaseFile:
    """Knows the files that were opened, by their inodes. Only one thread at a time may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: dict[Path, _Inode | None] = {path: None, path.with_name(f"{path.name}-wal"): None}
        self._replaced = False

    def check(self) -> None:
        """Make sure that the files behind the names are those that were opened. Raises StoreUnavailable."""
        for path, opened in self._opened.items():
            found = _inode(path)
            if opened is None:
                self._opened[path] = found
            elif found != opened:
                self._refuse(path, "replaced" if found else "deleted")
        self._replaced = False

    def _refuse(self, path: Path, happened: str) -> None:
        if not self._replaced:
            self._replaced = True
            log.error("database.file_replaced", file=str(path), happened=happened)
        raise StoreUnavailable(
            f"{path.name} was {happened} while the server runs, so nothing more is written; put it back, or stop the "
            "server by SIGTERM, which saves what it still holds, and restore the database from a backup if it is gone"
        )


def _inode(path: Path) -> _Inode | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
