"""Tests for operations: runs one the way a worker does, without a server.

tester = OperationTester(Fingerprint)
answer = tester.run(png_bytes, {"side": 8})
assert answer.output["bits"] == 64
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from pydantic import ValidationError

from imagebatch_server import structs
from imagebatch_server.batches.errors import InvalidParameters, ItemError
from imagebatch_server.executors.child.runner import Runner
from imagebatch_server.executors.protocol.messages import Done, Task
from imagebatch_server.operations.base import AsyncOperation, ChunkOperation
from imagebatch_server.operations.configuration import Configuration, OperationSettings
from imagebatch_server.operations.registry import (
    ENTRY_POINT_GROUP,
    AnyOperation,
    InvalidOperation,
    OperationRegistry,
    check_operation,
)

__all__ = ["Answer", "InvalidOperation", "InvalidParameters", "ItemError", "OperationTester"]


@dataclass(frozen=True)
class Answer:
    """What a client would get of one image."""

    output: dict[str, Any]
    """`output_data`; what is None in the model is left out."""
    stored_image: bytes | None
    """What is to be stored and served at `stored_image_url`."""
    content_type: str | None
    """Of the stored image."""


class OperationTester:
    """One operation of any kind, each of its backends loaded when it is first run. Not for use within an event loop."""

    def __init__(
        self,
        operation: AnyOperation,
        *,
        settings: OperationSettings | None = None,
        max_image_pixels: int = 100_000_000,
    ) -> None:
        """Check the class; `settings` are what an operator sets for it.

        Raises InvalidOperation where a server would leave it out, or a field is not described.
        """
        configuration = None if settings is None else Configuration.holding(settings)
        self._operation = check_operation(operation, str(operation))
        reference = _reference(operation)
        point = EntryPoint(operation.name, reference, ENTRY_POINT_GROUP)
        self._registry = OperationRegistry([point], configuration)
        if operation.name not in self._registry.names():
            raise InvalidOperation(f"{reference} can't be registered; the warning that was logged says why")
        for field in _unexplained(self._registry):
            raise InvalidOperation(f"{reference}: {field} has no description; give it one for ListOperations")
        self._runner = Runner(self._registry.references(), max_image_pixels, configuration)
        self._loop = asyncio.Runner()

    def run(
        self,
        image: bytes,
        parameters: Mapping[str, Any] | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        declared_type: str | None = None,
    ) -> Answer:
        """Run on a file's bytes.

        Raises InvalidParameters as a submission would be refused, ItemError as the item would fail (with the traceback
        as a note where the operation raised something else), InvalidOperation for an output that breaks its schema,
        RuntimeError if the operation can't be loaded.
        """
        (answer,) = self._run([image], parameters, metadata, declared_type)
        if isinstance(answer, ItemError):
            raise answer
        return answer

    def run_many(
        self, images: Sequence[bytes], parameters: Mapping[str, Any] | None = None
    ) -> list[Answer | ItemError]:
        """Run on several files: those of a ChunkOperation as one chunk, others one after the other. Raises as `run`."""
        return self._run(images, parameters, None, None)

    def _run(
        self,
        images: Sequence[bytes],
        parameters: Mapping[str, Any] | None,
        metadata: Mapping[str, Any] | None,
        declared_type: str | None,
    ) -> list[Answer | ItemError]:
        given = None if parameters is None else structs.from_dict(parameters)
        violations = self._registry.violations(self._operation.name, given)
        if violations:
            raise InvalidParameters(self._operation.name, violations)
        name = self._loaded(given)
        about = None if metadata is None else structs.from_dict(metadata)
        tasks = [Task(index, declared_type, about, len(image)) for index, image in enumerate(images)]
        operation = self._runner.get(name)
        if isinstance(operation, ChunkOperation):
            dones = self._runner.chunk(name, given, tasks, list(images))
        elif isinstance(operation, AsyncOperation):
            dones = [self._loop.run(self._run_async(operation, given, *one)) for one in zip(tasks, images, strict=True)]
        else:
            run = self._runner.tasks(name, given)
            dones = [run(*one) for one in zip(tasks, images, strict=True)]
        return [self._answer(done) for done in dones]

    async def _run_async(
        self, operation: AsyncOperation[Any], parameters: bytes | None, task: Task, image: bytes
    ) -> Done:
        async with operation.slot():
            return await self._runner.run_async(operation, parameters, task, image)

    def _loaded(self, parameters: bytes | None) -> str:
        name = self._registry.resolve(self._operation.name, parameters)
        if not self._runner.has_loaded(name):
            failed = self._runner.load(name)
            if failed is not None:
                raise RuntimeError(f"{name} can't be loaded: {failed.reason}\n{failed.traceback or ''}")
        return name

    def _answer(self, done: Done) -> Answer | ItemError:
        outcome = done.outcome
        if outcome.error_code is not None:
            failure = ItemError(outcome.error_code, outcome.error_message or "", transient=done.transient)
            if done.traceback is not None:
                failure.add_note(done.traceback)
            return failure
        output = structs.to_dict(outcome.output_data)
        try:
            self._operation.output.model_validate(output)
        except ValidationError as error:
            raise InvalidOperation(
                f"the output {output} does not fit {self._operation.output.__name__} (what is None is left out of it, "
                f"so such a field needs the default None): {error}"
            ) from error
        stored = done.stored
        return Answer(output, None if stored is None else stored.data, None if stored is None else stored.content_type)


def _reference(operation: AnyOperation) -> str:
    if "<locals>" in operation.__qualname__:
        raise InvalidOperation(f"{operation} is defined inside a function; workers import it, so move it to the module")
    return f"{operation.__module__}:{operation.__qualname__}"


def _unexplained(registry: OperationRegistry) -> Iterator[str]:
    (info,) = registry.describe_all()
    for schema in (info.parameters_schema, info.output_schema):
        for model in (schema, *schema.get("$defs", {}).values()):
            for name, field in model.get("properties", {}).items():
                if not field.get("description"):
                    yield f"{model.get('title')}.{name}"
