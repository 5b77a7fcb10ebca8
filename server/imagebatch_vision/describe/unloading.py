"""Models that are let go of when nobody has asked them for a while."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from imagebatch_vision.describe.sessions import give_memory_back

M = TypeVar("M")


class Unloading(Generic[M]):
    """A model, loaded when it is asked for, and let go of `after_s` from the last time; whoever holds it keeps it."""

    def __init__(self, load: Callable[[], M], after_s: float) -> None:
        self._load = load
        self._after_s = after_s
        self._lock = threading.Lock()
        self._model: M | None = None
        self._asked_at = 0.0

    def get(self) -> M:
        """Answer the model. Raises what loading it raises."""
        with self._lock:
            self._asked_at = time.monotonic()
            if self._model is None:
                self._model = self._load()
                self._look_again(self._after_s)
            return self._model

    def _look_again(self, wait_s: float) -> None:
        timer = threading.Timer(min(wait_s, threading.TIMEOUT_MAX), self._look)
        timer.daemon = True  # a process ends without waiting for it
        timer.start()

    def _look(self) -> None:
        with self._lock:
            left_s = self._asked_at + self._after_s - time.monotonic()
            if left_s > 0:
                self._look_again(left_s)
                return
            self._model = None
        gc.unfreeze()  # a worker's child freezes what it has loaded, and models may hold themselves in circles
        gc.collect()
        give_memory_back()
