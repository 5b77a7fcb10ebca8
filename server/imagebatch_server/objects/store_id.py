"""The id by which a folder of blobs is known again, wherever it is mounted or copied to."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from imagebatch_server.objects.durable import store_errors, sync_folder, write_durably
from imagebatch_server.objects.layout import FOLDERS, STORE_ID, blob_path, is_key, store_id


class StoreFolder:
    """The port `ObjectStorePlace`: a folder that holds blobs, or is to hold them. Nothing is made before `make_id`.

    Every method raises StoreUnavailable when the folder can't be read or written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = root / STORE_ID

    def __str__(self) -> str:
        return str(self._root)

    def id(self) -> str | None:
        """Read the folder's id; None if it has none, or the file holds something else."""
        with store_errors():
            try:
                return store_id(self._file.read_text())
            except FileNotFoundError:
                return None

    def make_id(self) -> str:
        """Answer the folder's id, after giving it one durably if it has none."""
        known = self.id()
        if known is not None:
            return known
        made = str(uuid.uuid4())
        with store_errors():
            self._root.mkdir(parents=True, exist_ok=True)
            part = self._file.with_suffix(".part")
            part.unlink(missing_ok=True)
            write_durably(part, f"{made}\n".encode())
            part.rename(self._file)
            sync_folder(self._root)
            sync_folder(self._root.parent)
        return made

    def is_empty(self) -> bool:
        """Whether it holds no blob."""
        return next(self._keys(), None) is None

    def holds_any(self, keys: Iterable[str]) -> bool:
        """Whether it holds one of these blobs."""
        with store_errors():
            return any(is_key(key) and (self._root / blob_path(key)).exists() for key in keys)

    def _keys(self) -> Iterator[str]:
        with store_errors():
            for folder in FOLDERS:
                if (self._root / folder).is_dir():
                    yield from (path.name for path in (self._root / folder).iterdir() if is_key(path.name))
