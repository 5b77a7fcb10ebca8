"""Which operations there are: what installed packages register in the entry-point group `imagebatch.operations`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import structlog
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from imagebatch_server import structs
from imagebatch_server.batches.errors import UnknownOperation, Violation
from imagebatch_server.batches.model import OperationInfo
from imagebatch_server.operations.base import (
    MOST_IN_FLIGHT,
    AsyncOperation,
    BaseOperation,
    ChunkOperation,
    Operation,
    Output,
    Parameters,
)
from imagebatch_server.operations.configuration import Configuration, OperationSettings

ENTRY_POINT_GROUP = "imagebatch.operations"

_log = structlog.get_logger(__name__)

AnyOperation = type[BaseOperation[Any]]

_BROUGHT_BY = {"describe": "vision", "verify": "vision"}
"""Which extra of the distribution `imagebatch` brings the operations that the documentation speaks of."""

_KINDS = (Operation, ChunkOperation, AsyncOperation)
_MOST_RESOLVED = 4_096


class DuplicateOperation(Exception):
    """Two packages register one name, and nothing says which is meant."""

    def __init__(self, name: str, origins: Iterable[str]) -> None:
        super().__init__(f"the operation {name!r} is registered by {' and by '.join(origins)}; uninstall one of them")
        self.name = name


class InvalidOperation(Exception):
    """A registered object is no usable operation."""


class OperationRegistry:
    """The operations of one process; their classes are imported, their models are not loaded.

    An operation has a main class, and one for each of its other backends. Each is known by a name of its own:
    `describe` and `describe/openai`.
    """

    def __init__(self, registered: Iterable[EntryPoint], configuration: Configuration | None = None) -> None:
        """Import what is registered; a broken plug-in is left out with a warning.

        Raises DuplicateOperation.
        """
        by_name: dict[str, list[EntryPoint]] = defaultdict(list)
        for point in registered:
            by_name[point.name].append(point)
        self._configuration = configuration or Configuration()
        self._operations: dict[str, AnyOperation] = {}
        self._left_out: set[str] = set()
        self._infos: dict[str, OperationInfo] = {}
        self._resolved: dict[tuple[str, bytes | None], str] = {}
        for name, points in sorted(by_name.items()):
            if len(points) > 1:
                raise DuplicateOperation(name, (_origin(point) for point in points))
            self._add(points[0])

    @classmethod
    def load(cls, configuration: Configuration | None = None) -> OperationRegistry:
        """Find what the installed packages register; raises DuplicateOperation."""
        return cls(entry_points(group=ENTRY_POINT_GROUP), configuration)

    def names(self) -> list[str]:
        """Names in alphabetical order."""
        return list(self._operations)

    def get(self, name: str) -> AnyOperation:
        """Return the operation's class; raises UnknownOperation."""
        if name not in self._operations:
            raise UnknownOperation(name, self.names(), self._remedy(name))
        return self._operations[name]

    def describe_all(self) -> list[OperationInfo]:
        """Describe every operation, in alphabetical order of names."""
        return list(self._infos.values())

    def references(self) -> dict[str, str]:
        """Say where each class is to be imported from, as `module:Class`, by its name."""
        return {name: f"{found.__module__}:{found.__qualname__}" for name, found in self._classes()}

    def chunk_items(self) -> dict[str, int]:
        """Say how many items the chunk operations take at once, by the class's name."""
        return {name: found.most_items for name, found in self._classes() if issubclass(found, ChunkOperation)}

    def versions(self) -> dict[str, str]:
        """Say which version each class is, by its name."""
        return {name: found.version for name, found in self._classes()}

    def demands(self) -> list[Mapping[str, float]]:
        """List the resources that classes ask for, each set once; the empty one is there."""
        demands: list[Mapping[str, float]] = [{}]
        for _, found in self._classes():
            if found.resources not in demands:
                demands.append(found.resources)
        return demands

    def resources(self, operation: str, parameters: bytes | None) -> Mapping[str, float]:
        """Say what an operation with these parameters takes of a cluster's node."""
        found = self._class(operation, parameters)
        return {} if found is None else found.resources

    def configuration(self, *, asynchronous: bool) -> Configuration:
        """Answer the settings of the operations that are asynchronous, or of those that are not."""
        kinds = [found for _, found in self._classes() if issubclass(found, AsyncOperation) is asynchronous]
        return self._configuration.only({kind.settings.section for kind in kinds})

    def most_in_flight(self) -> int:
        """Say how many items of asynchronous operations their process may hold at one time."""
        kinds = [found for _, found in self._classes() if issubclass(found, AsyncOperation)]
        asked = [kind.most_in_flight(self._configuration.of(kind.settings)) for kind in kinds]
        return max([MOST_IN_FLIGHT, *asked])

    def resolve(self, operation: str, parameters: bytes | None) -> str:
        """Name the class that runs an operation with these parameters, a serialised Struct.

        For an operation that is not known, or refuses the parameters, that is the operation's own name.
        """
        resolved = self._resolved.get((operation, parameters))
        if resolved is None:
            if len(self._resolved) >= _MOST_RESOLVED:
                self._resolved.clear()
            resolved = self._resolved[operation, parameters] = self._resolve(operation, parameters)
        return resolved

    def is_asynchronous(self, operation: str, parameters: bytes | None) -> bool:
        """Whether the operation with these parameters is one that has many items in flight."""
        found = self._class(operation, parameters)
        return found is not None and issubclass(found, AsyncOperation)

    def violations(self, operation: str, parameters: bytes | None) -> list[Violation]:
        """Check a serialised Struct of parameters; paths begin with `options.parameters`. Raises UnknownOperation."""
        found = self.get(operation)
        try:
            given = found.parameters.parse(structs.to_dict(parameters))
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            return [_violation(operation, found.parameters, detail) for detail in details]
        runs = found.backends.get(getattr(given, "backend", ""), found)
        refusals = runs.refusals(given, self._configuration.of(runs.settings))
        return [Violation(f"options.parameters.{name}", why) for name, why in refusals.items()]

    def _remedy(self, name: str) -> str | None:
        if name in self._left_out:
            return f"{name} is installed but can't be used: the server's log says why at its start, operations.left_out"
        extra = _BROUGHT_BY.get(name)
        return extra and f"its operator adds {name} with: pip install 'imagebatch[{extra}]'"

    def _resolve(self, operation: str, parameters: bytes | None) -> str:
        found = self._operations.get(operation)
        if found is None or not found.backends:
            return operation
        try:
            given = found.parameters.parse(structs.to_dict(parameters))
        except ValueError:
            return operation
        backend = getattr(given, "backend", "")
        return f"{operation}/{backend}" if backend in found.backends else operation

    def _class(self, operation: str, parameters: bytes | None) -> AnyOperation | None:
        name, _, backend = self.resolve(operation, parameters).partition("/")
        found = self._operations.get(name)
        return found and found.backends.get(backend, found)

    def _classes(self) -> Iterator[tuple[str, AnyOperation]]:
        for name, operation in self._operations.items():
            yield name, operation
            for backend, found in operation.backends.items():
                yield f"{name}/{backend}", found

    def _add(self, point: EntryPoint) -> None:
        try:
            operation = _checked(point)
            info = _info(operation)
        except Exception as error:  # a third party's module may raise anything, and must not stop the server
            self._left_out.add(point.name)
            _log.warning("operations.left_out", operation=point.name, origin=_origin(point), error=repr(error))
            return
        self._operations[point.name] = operation
        self._infos[point.name] = info


def installed_settings() -> list[type[OperationSettings]]:
    """Find the settings of the installed operations; of one that is broken there are none."""
    kinds: dict[type[OperationSettings], None] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        with suppress(Exception):
            operation = _checked(point)
            kinds |= dict.fromkeys(kind.settings for kind in (operation, *operation.backends.values()))
    return [kind for kind in kinds if kind.section]


def check_operation(operation: object, where: str) -> AnyOperation:
    """Answer the object as an operation's class; raises InvalidOperation, which says `where` it was found."""
    if not (isinstance(operation, type) and issubclass(operation, _KINDS)):
        raise InvalidOperation(
            f"{where} is no subclass of imagebatch_server.operations.Operation, ChunkOperation or AsyncOperation"
        )
    for attribute, kind in (("name", str), ("version", str), ("description", str)):
        if not isinstance(getattr(operation, attribute, None), kind):
            raise InvalidOperation(f"{where} has no class attribute {attribute!r} of type {kind.__name__}")
    for attribute, base in (("parameters", Parameters), ("output", Output), ("settings", OperationSettings)):
        model = getattr(operation, attribute, None)
        if not (isinstance(model, type) and issubclass(model, base)):
            raise InvalidOperation(f"{where} has no class attribute {attribute!r} derived from {base.__name__}")
    for name, amount in operation.resources.items():
        if not isinstance(name, str) or not isinstance(amount, int | float) or not amount > 0:
            raise InvalidOperation(
                f"{where} asks for resources {{{name!r}: {amount!r}}}; give names and numbers above 0"
            )
    for backend, found in operation.backends.items():
        if not issubclass(found, _KINDS) or found.parameters is not operation.parameters:
            raise InvalidOperation(f"{where} has a backend {backend!r} that is no operation with the same parameters")
    return operation


def _checked(point: EntryPoint) -> AnyOperation:
    operation = check_operation(point.load(), point.value)
    if operation.name != point.name:
        raise InvalidOperation(f"{point.value} calls itself {operation.name!r} but is registered as {point.name!r}")
    return operation


def _info(operation: AnyOperation) -> OperationInfo:
    return OperationInfo(
        name=operation.name,
        version=operation.version,
        description=operation.description,
        parameters_schema=operation.parameters.model_json_schema(),
        output_schema=operation.output.model_json_schema(mode="serialization"),
    )


def _violation(operation: str, model: type[Parameters], detail: ErrorDetails) -> Violation:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"])
    field = f"options.parameters{path}"
    if detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1:
        known = ", ".join(model.model_fields) or "none"
        return Violation(field, f"is no parameter of {operation}, which takes {known}")
    message = detail["msg"].removeprefix("Value error, ")
    reason = message[:1].lower() + message[1:]
    if detail["type"] == "missing":
        return Violation(field, f"is missing: {reason}")
    if detail["type"] == "value_error" and isinstance(detail["input"], dict):
        return Violation(field, reason)  # about several fields, and it names them
    return Violation(field, f"{repr(detail['input'])[:100]} is refused: {reason}")


def _origin(point: EntryPoint) -> str:
    distribution = "an unnamed package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
    return f"{distribution} ({point.value})"
