"""Run operations on images, in the child: every ending of an item but a crash becomes a `Done`."""

from __future__ import annotations

import hashlib
import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from operator import attrgetter
from typing import Any

from imagebatch_server import structs
from imagebatch_server.batches.errors import ItemError, short_text
from imagebatch_server.executors.child import outcomes
from imagebatch_server.executors.protocol.messages import Done, LoadFailed, Task
from imagebatch_server.images.decode import Image
from imagebatch_server.images.header import sniff
from imagebatch_server.images.preview import Preview
from imagebatch_server.operations.base import (
    AsyncOperation,
    BaseOperation,
    ChunkOperation,
    ItemContext,
    Operation,
    Parameters,
    StrictParameters,
)
from imagebatch_server.operations.configuration import Configuration

_LOAD_AGAIN_S = 30.0

_KINDS = (Operation, ChunkOperation, AsyncOperation)


class Runner:
    """The operations of one child, each loaded once."""

    def __init__(
        self,
        references: Mapping[str, str],
        max_image_pixels: int,
        configuration: Configuration | None = None,
        *,
        makes_previews: bool = False,
    ) -> None:
        self._references = references
        self._max_image_pixels = max_image_pixels
        self._configuration = configuration or Configuration()
        self._makes_previews = makes_previews
        self._loaded: dict[str, BaseOperation[Any]] = {}
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
            operation.configured = self._configuration.of(operation.settings)
            operation.load()
        except Exception as error:  # whatever a plug-in's import or models raise
            reason = short_text(f"{type(error).__name__}: {error}")
            self._failed[name] = time.monotonic(), LoadFailed(name, reason)
            return LoadFailed(name, reason, outcomes.traced(error))
        self._loaded[name] = operation
        return None

    def takes_chunks(self, name: str) -> bool:
        """Whether a loaded operation takes the tasks of a chunk at once."""
        return isinstance(self._loaded[name], ChunkOperation)

    def get(self, name: str) -> BaseOperation[Any]:
        """Answer a loaded operation."""
        return self._loaded[name]

    def tasks(self, name: str, parameters: bytes | None) -> Callable[[Task, bytes], Done]:
        """Make a function that runs the tasks of a chunk one by one, decoding included. It raises MemoryError."""
        operation = self._loaded[name]
        assert isinstance(operation, Operation)  # noqa: S101 - the child looks at the kind
        parsed = _once_parsed(operation, parameters)
        # A header is read when it is first looked at, unless the operation wants to hear of one that can't be.
        answers_unopened = type(operation).run_unopened is not BaseOperation.run_unopened
        begin = Image.open if answers_unopened else Image.of

        def run(task: Task, data: bytes) -> Done:
            began = time.perf_counter()
            sha256, preview = hashlib.sha256(data).hexdigest(), self._new_preview()
            try:
                given, strict = parsed()
                image, context = self._opened(data, preview, strict=strict, begin=begin), _context(task)
                if isinstance(image, Image):
                    result = operation.run(image, given, context)
                else:
                    result = operation.run_unopened(image, given, context)
                done = outcomes.success(task, operation.name, result, sha256)
            except Exception as error:  # an operation may raise anything, and its items are what it is charged with
                done = outcomes.failure(task, operation.name, error, sha256, sniff(data))
            outcomes.add_preview(done, preview)
            done.run_s = time.perf_counter() - began
            return done

        return run

    def chunk(self, name: str, parameters: bytes | None, tasks: Sequence[Task], images: list[bytes]) -> list[Done]:
        """Run the tasks of one chunk at once. Raises MemoryError."""
        operation = self._loaded[name]
        assert isinstance(operation, ChunkOperation)  # noqa: S101 - the child looks at the kind
        parsed = _once_parsed(operation, parameters)
        began = time.perf_counter()
        digests = [hashlib.sha256(data).hexdigest() for data in images]
        previews = [self._new_preview() for _ in images]
        dones: list[Done | None] = [None] * len(tasks)
        ready: list[tuple[int, Image, ItemContext]] = []
        for position, (task, data) in enumerate(zip(tasks, images, strict=True)):
            try:
                given, strict = parsed()
                image, context = self._opened(data, previews[position], strict=strict), _context(task)
                if isinstance(image, Image):
                    ready.append((position, image, context))
                else:
                    result = operation.run_unopened(image, given, context)
                    dones[position] = outcomes.success(task, operation.name, result, digests[position])
            except Exception as error:
                dones[position] = outcomes.failure(task, operation.name, error, digests[position], sniff(data))
        for position, answer in _answers(operation, parsed, ready):
            try:
                if isinstance(answer, Exception):
                    raise answer
                dones[position] = outcomes.success(tasks[position], operation.name, answer, digests[position])
            except Exception as error:
                dones[position] = outcomes.failure(
                    tasks[position], operation.name, error, digests[position], sniff(images[position])
                )
        ended = [done for done in dones if done is not None]
        for done, preview in zip(ended, previews, strict=True):
            outcomes.add_preview(done, preview)
            done.run_s = (time.perf_counter() - began) / len(ended)
        return ended

    async def run_async(
        self, operation: AsyncOperation[Any], parameters: bytes | None, task: Task, data: bytes
    ) -> Done:
        """Run one task. Raises MemoryError, and CancelledError if the operation lets it through."""
        began = time.perf_counter()
        sha256, preview = hashlib.sha256(data).hexdigest(), self._new_preview()
        try:
            given, strict = _parsed(operation, parameters)
            image, context = self._opened(data, preview, strict=strict), _context(task)
            if isinstance(image, Image):
                result = await operation.run(image, given, context)
            else:
                result = operation.run_unopened(image, given, context)
            done = outcomes.success(task, operation.name, result, sha256)
        except Exception as error:
            done = outcomes.failure(task, operation.name, error, sha256, sniff(data))
        outcomes.add_preview(done, preview)
        done.run_s = time.perf_counter() - began
        return done

    def _new_preview(self) -> Preview | None:
        return Preview() if self._makes_previews else None

    def _opened(
        self, data: bytes, preview: Preview | None, *, strict: bool, begin: Callable[..., Image] = Image.open
    ) -> Image | ItemError:
        try:
            return begin(data, max_pixels=self._max_image_pixels, strict=strict, preview=preview)
        except ItemError as error:
            return error


def _make(reference: str) -> BaseOperation[Any]:
    module, _, name = reference.partition(":")
    found = attrgetter(name)(importlib.import_module(module))
    if not (isinstance(found, type) and issubclass(found, _KINDS)):
        raise TypeError(f"{reference} is no class derived from imagebatch_server.operations.base.Operation or its kin")
    return found()


def _parsed(operation: BaseOperation[Any], parameters: bytes | None) -> tuple[Parameters, bool]:
    """Parse parameters, and tell whether pictures are to be whole; what doesn't know of truncated ones gets none."""
    given = operation.parameters.parse(structs.to_dict(parameters))
    return given, given.strict if isinstance(given, StrictParameters) else True


def _once_parsed(operation: BaseOperation[Any], parameters: bytes | None) -> Callable[[], tuple[Parameters, bool]]:
    """Do so in the first task's run, so that whatever they make of the model's validators is an item's error."""
    return cache(partial(_parsed, operation, parameters))


def _context(task: Task) -> ItemContext:
    return ItemContext(task.item_index, structs.to_dict(task.metadata), task.declared_type)


def _answers(
    operation: ChunkOperation[Any],
    parsed: Callable[[], tuple[Parameters, bool]],
    ready: Sequence[tuple[int, Image, ItemContext]],
) -> list[tuple[int, object]]:
    """Answer what came of each image, by position, or an exception. A chunk that raises is run item by item."""
    if not ready:
        return []
    positions, images, contexts = zip(*ready, strict=True)
    try:
        results = list(operation.run_many(images, parsed()[0], contexts))
        if len(results) != len(images):
            raise TypeError(f"run_many answered {len(results)} results for {len(images)} images")
    except Exception as error:
        if len(ready) == 1 or isinstance(error, MemoryError):
            return [(position, error) for position in positions]
        return [answer for one in ready for answer in _answers(operation, parsed, [one])]
    return list(zip(positions, results, strict=True))
