"""Folders for servers' data, on the disk that a server would use."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def data_folder() -> Iterator[Path]:
    """Provide a folder for as long as the block runs. It is on disk: what is measured includes the disk's syncs."""
    with tempfile.TemporaryDirectory(prefix="imagebatch-benchmark-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
