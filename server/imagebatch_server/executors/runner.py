"""Runs operations on images, in the child: every ending of an item but a crash becomes a `Done`."""

from __future__ import annotations

import hashlib
import importlib
import time
import traceback
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server import structs
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.executors.messages import (
    MAX_MESSAGE_BYTES,
    MAX_OUTPUT_BYTES,
    MAX_STORED_BYTES,
    Done,
    LoadFailed,
    StoredImage,
    Task,
)
from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext, Operation, Output, Parameters, Stored

_TRACEBACK_CHARACTERS = 8_000
_LOAD_AGAIN_S = 30.0

# How native libraries say that an allocation failed: std::bad_alloc by way of pybind11, OpenCV, onnxruntime's arena.
_OUT_OF_MEMORY_TEXTS = ("bad_alloc", "bad allocation", "Insufficient memory", "Failed to allocate memory")


class Runner:
    """The operations of one child, each loaded once."""

    def __init__(self, references: Mapping[str, str], max_image_pixels: int) -> None:
        self._references = references
        self._max_image_pixels = max_image_pixels
        self._loaded: dict[str, Operation[Any]] = {}
        self._failed: dict[str, tuple[float, LoadFailed]] = {}

    def has_loaded(self, name: str) -> bool:
        """Whether its tasks can be run."""
        return name in self._loaded

    def load(self, name: str) -> LoadFailed | None:
        """Import an operation, make it and let it load; answers what went wrong, for a while without trying again."""
        failed_at, failed = self._failed.get(name, (0.0, None))
        if failed is not None and time.monotonic() - failed_at < _LOAD_AGAIN_S:
            return failed
        try:
            operation = _make(self._references[name])
            operation.load()
        except Exception as error:  # whatever a plug-in's import or models raise
            reason = _shortened(f"{type(error).__name__}: {error}")
            self._failed[name] = time.monotonic(), LoadFailed(name, reason)
            return LoadFailed(name, reason, traceback.format_exc()[-_TRACEBACK_CHARACTERS:])
        self._loaded[name] = operation
        return None

    def tasks(self, name: str, parameters: bytes | None) -> Callable[[Task, bytes], Done]:
        """What runs the tasks of one chunk, decoding included, with a loaded operation. It raises MemoryError."""
        operation = self._loaded[name]
        known: list[Parameters] = []

        def parsed() -> Parameters:
            # In the first task's run, so that whatever they make of the model's validators is an item's error.
            if not known:
                known.append(operation.parameters.model_validate(structs.to_dict(parameters)))
            return known[0]

        return lambda task, data: self._run(operation, parsed, task, data)

    def _run(self, operation: Operation[Any], parameters: Callable[[], Parameters], task: Task, data: bytes) -> Done:
        began = time.perf_counter()
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            image = Image.open(data, max_pixels=self._max_image_pixels)
            context = ItemContext(task.item_index, structs.to_dict(task.metadata), task.declared_type)
            done = _success(operation, operation.run(image, parameters(), context), sha256)
        except ItemError as error:
            message = _shortened(error.message)
            done = Done(0, sha256, error_code=error.code, error_message=message, transient=error.transient)
        except Exception as error:  # an operation may raise anything, and its items are what it is charged with
            if _is_out_of_memory(error):
                raise MemoryError from error
            done = _internal(sha256, f"operation {operation.name} failed: {type(error).__name__}: {error}")
            done.traceback = traceback.format_exc()[-_TRACEBACK_CHARACTERS:]
        done.run_s = time.perf_counter() - began
        return done


def _make(reference: str) -> Operation[Any]:
    module, _, name = reference.partition(":")
    found = attrgetter(name)(importlib.import_module(module))
    if not (isinstance(found, type) and issubclass(found, Operation)):
        raise TypeError(f"{reference} is no class derived from imagebatch_server.operations.base.Operation")
    return found()


def _success(operation: Operation[Any], result: object, sha256: str) -> Done:
    stored = None
    if isinstance(result, Stored):
        if len(result.data) > MAX_STORED_BYTES:
            return _internal(
                sha256,
                f"operation {operation.name} made an image of {len(result.data):,} bytes, the limit is "
                f"{MAX_STORED_BYTES:,}; ask for a smaller one",
            )
        stored = StoredImage(result.data, hashlib.sha256(result.data).hexdigest(), result.content_type)
        result = result.output
    if not isinstance(result, Output):
        return _internal(
            sha256, f"operation {operation.name} returned {type(result).__name__}; it must return Output or Stored"
        )
    output = structs.from_dict(result.model_dump(mode="json", exclude_none=True))
    if len(output) > MAX_OUTPUT_BYTES:
        return _internal(
            sha256,
            f"operation {operation.name} answered with {len(output):,} bytes, the limit is {MAX_OUTPUT_BYTES:,}; "
            "it must say less, or store an image",
        )
    return Done(0, sha256, output=output, stored=stored)


def _internal(sha256: str, message: str) -> Done:
    return Done(0, sha256, error_code=ItemErrorCode.INTERNAL, error_message=_shortened(message))


def _shortened(message: str) -> str:
    encoded = message.encode(errors="replace")
    if len(encoded) <= MAX_MESSAGE_BYTES:
        return encoded.decode()
    return encoded[: MAX_MESSAGE_BYTES - 3].decode(errors="ignore") + "..."


def _is_out_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY_TEXTS):
            return True
        error = error.__cause__ or error.__context__
    return False
