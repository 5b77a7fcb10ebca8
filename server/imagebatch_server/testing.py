"""Tests for operations: runs one the way a worker does, without a server.

tester = OperationTester(Fingerprint)
answer = tester.run(png_bytes, {"side": 8})
assert answer.output["bits"] == 64
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from pydantic import ValidationError

from imagebatch_server import structs
from imagebatch_server.batches.errors import InvalidParameters, ItemError
from imagebatch_server.executors.messages import Done, Task
from imagebatch_server.executors.runner import Runner
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
    """One loaded operation."""

    def __init__(self, operation: AnyOperation, *, max_image_pixels: int = 100_000_000) -> None:
        """Check the class and load it.

        Raises InvalidOperation where a server would leave it out or callers could not know what its fields mean, and
        RuntimeError if it can't be loaded.
        """
        self._operation = check_operation(operation, str(operation))
        reference = _reference(operation)
        self._registry = OperationRegistry([EntryPoint(operation.name, reference, ENTRY_POINT_GROUP)])
        if operation.name not in self._registry.names():
            raise InvalidOperation(f"{reference} can't be registered; the warning that was logged says why")
        for field in _unexplained(self._registry):
            raise InvalidOperation(f"{reference}: {field} has no description; give it one for ListOperations")
        self._runner = Runner({operation.name: reference}, max_image_pixels)
        failed = self._runner.load(operation.name)
        if failed is not None:
            raise RuntimeError(f"{reference} can't be loaded: {failed.reason}\n{failed.traceback}")

    def run(
        self,
        image: bytes,
        parameters: Mapping[str, Any] | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        declared_type: str | None = None,
        item_index: int = 0,
    ) -> Answer:
        """Run on a file's bytes.

        Raises InvalidParameters as a submission would be refused, ItemError as the item would fail (with the traceback
        as a note where the operation raised something else), InvalidOperation for an output that breaks its schema.
        """
        given = None if parameters is None else structs.from_dict(parameters)
        violations = self._registry.violations(self._operation.name, given)
        if violations:
            raise InvalidParameters(self._operation.name, violations)
        about = None if metadata is None else structs.from_dict(metadata)
        task = Task(item_index, declared_type, about, len(image))
        return self._answer(self._runner.one(self._operation.name, given, task, image))

    def _answer(self, done: Done) -> Answer:
        if done.error_code is not None:
            error = ItemError(done.error_code, done.error_message or "", transient=done.transient)
            if done.traceback is not None:
                error.add_note(done.traceback)
            raise error
        output = structs.to_dict(done.output)
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
