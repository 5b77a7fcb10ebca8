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

from imagebatch_server import structs
from imagebatch_server.batches.errors import InvalidRequest, Limit, Violation
from imagebatch_server.limits import MAX_IMAGE_URL_CHARACTERS, MAX_METADATA_BYTES, MAX_PARAMETERS_BYTES
from imagebatch_server.rpc.faults import faults

R = TypeVar("R", bound=Message)

_RULES_OF_LIMITS = {
    ("image_url", "string.max_len"): ("max_image_url_characters", MAX_IMAGE_URL_CHARACTERS),
}
"""Rules of the contract, by field and id, that are limits of ServerLimits too."""

_NUL = "holds a NUL character (U+0000), which can't be stored; leave it out"


class RequestValidator:
    """Parse requests and check their shape, by the full name of the method they call."""

    def __init__(self) -> None:
        data = files("imagebatch_rules").joinpath("v1.binpb").read_bytes()
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
            raise _unreadable(data, annotated_class.DESCRIPTOR.full_name) from error
        if _has_unknown_fields(request):
            raise InvalidRequest(_faults(data, annotated_class.DESCRIPTOR.full_name))
        violations = [
            _of_rule(violation.proto, annotated) for violation in self._validator.collect_violations(annotated)
        ]
        violations += _of_structs(request)
        violations += _of_times(request)
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


def _of_rule(violation: Any, request: Message) -> Violation:
    """Describe a violation of one of the contract's own rules."""
    elements = violation.field.elements
    field = elements[-1].field_name if elements else ""
    limit = None
    if (field, violation.rule_id) in _RULES_OF_LIMITS:
        limit = Limit(*_RULES_OF_LIMITS[field, violation.rule_id], observed=len(_value_at(elements, request)))
    return Violation(_path(elements), violation.message, limit)


def _path(elements: Iterable[Any]) -> str:
    path = ""
    for element in elements:
        path += f".{element.field_name}"
        if element.subscript is not None:
            key = element.subscript.value
            path += f'["{key}"]' if isinstance(key, str) else f"[{key}]"
    return path.removeprefix(".")


def _value_at(elements: Iterable[Any], request: Message) -> Any:
    value: Any = request
    for element in elements:
        value = getattr(value, element.field_name)
        if element.subscript is not None:
            value = value[element.subscript.value]
    return value


def _faults(data: bytes, name: str) -> Sequence[Violation]:
    """Find what is wrong with the bytes of a message, by its stub's descriptor, which knows Structs too."""
    return list(faults(data, descriptor_pool.Default().FindMessageTypeByName(name)))


def _unreadable(data: bytes, name: str) -> InvalidRequest:
    text = f"can't be parsed as {name}; generate the client from the current contract"
    return InvalidRequest(_faults(data, name) or [Violation("", text)])


def _has_unknown_fields(request: Message) -> bool:
    size_bytes = request.ByteSize()
    request.DiscardUnknownFields()
    return request.ByteSize() != size_bytes


def _of_structs(request: Any) -> Iterator[Violation]:
    """Check what the contract says of parameters and metadata in any request, and its rules can't see."""
    names = request.DESCRIPTOR.fields_by_name
    if "options" in names and request.options.HasField("parameters"):
        limit = ("max_parameters_bytes", MAX_PARAMETERS_BYTES)
        yield from _of_struct(request.options.parameters.SerializeToString(), "options.parameters", limit)
    if "items" not in names:
        return
    holder: Any = request
    path = "items"
    if isinstance(request.items, Message):
        holder, path = request.items, "items.items"
    limit = ("max_metadata_bytes", MAX_METADATA_BYTES)
    for index, item in enumerate(holder.items):
        data = item.metadata.SerializeToString()  # of no bytes where there is none: to ask takes as long as this
        if len(data) > MAX_METADATA_BYTES or structs.may_be_unfit(data):  # there may be a million, and hardly one is
            yield from _of_struct(data, f"{path}[{index}].metadata", limit)


def _of_struct(data: bytes, path: str, limit: tuple[str, int]) -> Iterator[Violation]:
    name, max_bytes = limit
    if len(data) > max_bytes:
        text = f"{len(data)} bytes when serialised; at most {max_bytes} are allowed, keep the rest on your side"
        yield Violation(path, text, Limit(name, max_bytes, len(data)))
    for unfit in structs.unfit_values(data):
        yield Violation(f"{path}{unfit.path}", unfit.why)


def _of_times(request: Any) -> Iterator[Violation]:
    """Durations that are none: the contract's rules see only what seconds and nanoseconds add up to."""
    if "options" not in request.DESCRIPTOR.fields_by_name:
        return
    timeout = request.options.item_timeout
    if not 0 <= timeout.nanos < 1_000_000_000 or timeout.seconds < 0:
        text = (
            f"{timeout.seconds} s and {timeout.nanos} ns are no duration; nanos are 0 to 999999999, and none negative"
        )
        yield Violation("options.item_timeout", text)


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
