"""The data folder, which one server at a time may use."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from imagebatch_server.batches.errors import CannotStart

DATABASE_NAME = "imagebatch.db"
"""The file of the SQLite database in a data folder."""


OBJECTS_NAME = "objects"
"""The folder of the images in a data folder, where they are in no bucket."""


class FolderInUse(CannotStart):
    """Another server works on the data folder."""


class DataFolder:
    """The folder, made if it is missing and locked until `close`; the lock goes with the process, however it ends.

    Raises FolderInUse, OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise OSError(f"can't use {self.path} as --data-dir: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip()
            os.close(self._lock)
            who = f"process {holder}" if holder else "another process"
            raise FolderInUse(
                f"the data folder {self.path} is in use by {who}; stop that server, or give this one another --data-dir"
            ) from error
        os.truncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    @property
    def database_url(self) -> str:
        """The SQLite database in the folder."""
        return f"sqlite:///{self.database}"

    @property
    def database(self) -> Path:
        """The file of the SQLite database."""
        return self.path / DATABASE_NAME

    @property
    def objects(self) -> Path:
        """Where the blobs are."""
        return self.path / OBJECTS_NAME

    def close(self) -> None:
        """Give the folder free."""
        os.close(self._lock)
