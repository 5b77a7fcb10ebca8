"""The contract's own rules: requests are parsed with the annotated descriptors and checked by protovalidate.

The annotated descriptors live in a pool of their own: the stubs carry no rules, so that clients need no copy of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.resources import files
from typing import Any, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from protovalidate import Validator

from imagebatch_server.batches.errors import InvalidRequest, Violation

R = TypeVar("R", bound=Message)

MAX_METADATA_BYTES = 8 * 1024
MAX_PARAMETERS_BYTES = 64 * 1024

_NUL = "holds a NUL character (U+0000), which can't be stored; leave it out"


class RequestValidator:
    """Parses requests and checks their shape, by the full name of the method they call."""

    def __init__(self) -> None:
        data = files("imagebatch.v1").joinpath("annotated.binpb").read_bytes()
        pool = descriptor_pool.DescriptorPool()
        described = descriptor_pb2.FileDescriptorSet.FromString(data)
        for file in described.file:
            for message in file.message_type:
                _leave_out_structs(message)
            pool.Add(file)
        self._validator = Validator()
        self._annotated: dict[str, type[Message]] = {}
        for file in described.file:
            for service in pool.FindFileByName(file.name).services_by_name.values():
                for method in service.methods:
                    request = message_factory.GetMessageClass(method.input_type)
                    self._annotated[f"/{service.full_name}/{method.name}"] = request

    def knows(self, method: str) -> bool:
        """Whether the method (`/package.Service/Method`) belongs to the contract."""
        return method in self._annotated

    def read(self, method: str, data: bytes, parse: Callable[[bytes], R]) -> R:
        """Parse one request by its stub and check it. Raises InvalidRequest with every violation of shape."""
        annotated_class = self._annotated[method]
        try:
            request, annotated = parse(data), annotated_class.FromString(data)
        except DecodeError as error:
            name = annotated_class.DESCRIPTOR.full_name
            text = f"can't be parsed as {name}; generate the client from the current contract"
            raise InvalidRequest([Violation("", text)]) from error
        violations = [
            Violation(_path(violation.proto.field), violation.proto.message)
            for violation in self._validator.collect_violations(annotated)
        ]
        violations += _oversized(request)
        annotated.DiscardUnknownFields()
        if b"\0" in annotated.SerializeToString():
            violations += _with_nul(annotated)
        if violations:
            raise InvalidRequest(violations)
        return request


def _leave_out_structs(message: descriptor_pb2.DescriptorProto) -> None:
    """No rule is about a Struct, and to look for one in every value of metadata takes longer than all other checks."""
    kept = [field for field in message.field if field.type_name != ".google.protobuf.Struct"]
    del message.field[:]
    message.field.extend(kept)


def _path(field_path: object) -> str:
    path = ""
    for element in getattr(field_path, "elements", ()):
        if path:
            path += "."
        path += element.field_name
        subscript = element.subscript
        if subscript is not None:
            value = subscript.value
            path += f'["{value}"]' if isinstance(value, str) else f"[{value}]"
    return path


def _oversized(request: Any) -> Sequence[Violation]:
    """What the contract limits in serialised bytes of a request of any kind, which its rules can't see."""
    violations = []
    names = request.DESCRIPTOR.fields_by_name
    if "options" in names and request.HasField("options"):
        size = request.options.parameters.ByteSize()
        if size > MAX_PARAMETERS_BYTES:
            text = f"{size} bytes when serialised; at most {MAX_PARAMETERS_BYTES} are allowed"
            violations.append(Violation("options.parameters", text))
    if "items" not in names:
        return violations
    holder, path = request, "items"
    if isinstance(request.items, Message):
        holder, path = request.items, "items.items"
    for index, item in enumerate(holder.items):
        if item.HasField("metadata") and (size := item.metadata.ByteSize()) > MAX_METADATA_BYTES:
            text = f"{size} bytes when serialised; at most {MAX_METADATA_BYTES} are allowed, keep the rest on your side"
            violations.append(Violation(f"{path}[{index}].metadata", text))
    return violations


def _with_nul(message: Message, path: str = "") -> Iterator[Violation]:
    """Strings that a database of texts can't store, a map's included."""
    for field, value in message.ListFields():
        name = f"{path}{field.name}"
        if field.type == field.TYPE_STRING:
            texts = [(name, value)] if isinstance(value, str) else _numbered(name, value)
            yield from (Violation(at, _NUL) for at, text in texts if "\0" in text)
        elif field.message_type is None:
            continue
        elif field.message_type.GetOptions().map_entry:
            if any("\0" in key or "\0" in text for key, text in value.items()):
                yield Violation(name, _NUL)
        else:
            for at, one in [(name, value)] if isinstance(value, Message) else _numbered(name, value):
                yield from _with_nul(one, f"{at}.")


def _numbered(name: str, values: Sequence[Any]) -> Iterable[tuple[str, Any]]:
    return ((f"{name}[{index}]", value) for index, value in enumerate(values))
