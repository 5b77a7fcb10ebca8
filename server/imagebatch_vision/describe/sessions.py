"""ONNX Runtime sessions as a worker's child needs them: one thread, and memory given back."""

from __future__ import annotations

import ctypes
import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from imagebatch_vision.describe.tiny_weights import read_model

MOST_HELD_BYTES = 260_000_000
"""What a process may hold between two images. Giving memory back after each made them 6 to 16 % dearer."""


def open_session(model: Path) -> Any:
    """Load a model to run on one core.

    Without the memory arena, which would keep each shape's largest buffers for ever: 800 MB instead of 290 after pages
    of several sizes, and no slower.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(read_model(model), options, providers=["CPUExecutionProvider"])


def sha256_of(path: Path) -> str:
    """Of a file, 64 lower-case hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def give_memory_back(from_bytes: int = 0) -> None:
    """Return to the system what the C library keeps of freed memory, if the process holds so much; 10 ms.

    Models free tensors of all sizes, of which glibc keeps 160 MB for later. Nothing happens where it can't.
    """
    with suppress(AttributeError, OSError, TypeError):
        if _resident_bytes() >= from_bytes:
            ctypes.CDLL(None).malloc_trim(0)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
