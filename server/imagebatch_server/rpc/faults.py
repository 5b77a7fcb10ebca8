"""What is wrong with the bytes of a request that its parser refuses, or doesn't know all of: field by field.

It takes long in Python, so only requests that are refused anyway are read like this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from google.protobuf import struct_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from imagebatch_server import structs
from imagebatch_server.batches.errors import Violation

_VARINT, _FIXED64, _LENGTH_DELIMITED, _GROUP, _FIXED32 = 0, 1, 2, 3, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES = 10
_MAX_GROUPS = 100
"""Within each other. The contract has none, but bytes may hold them."""

_WIRE_TYPES = {
    FieldDescriptor.TYPE_DOUBLE: _FIXED64,
    FieldDescriptor.TYPE_FIXED64: _FIXED64,
    FieldDescriptor.TYPE_SFIXED64: _FIXED64,
    FieldDescriptor.TYPE_FLOAT: _FIXED32,
    FieldDescriptor.TYPE_FIXED32: _FIXED32,
    FieldDescriptor.TYPE_SFIXED32: _FIXED32,
    FieldDescriptor.TYPE_STRING: _LENGTH_DELIMITED,
    FieldDescriptor.TYPE_BYTES: _LENGTH_DELIMITED,
    FieldDescriptor.TYPE_MESSAGE: _LENGTH_DELIMITED,
}
"""Of every type that is no varint."""

_LEVELS = ("google.protobuf.Struct", "google.protobuf.ListValue")


class _Malformed(Exception):
    """The bytes follow no wire format."""


def faults(data: bytes, descriptor: Descriptor) -> Iterator[Violation]:
    """Find fields that the contract doesn't have, text that is not UTF-8, Structs nested too deep and broken bytes.

    A field without a name is called by its number, as in `items[3].99`.
    """
    for violation in _of_message(data, descriptor, "", 0):
        yield Violation(violation.field.removeprefix("."), violation.description)


def _of_message(data: bytes, descriptor: Descriptor, path: str, level: int) -> Iterator[Violation]:
    if descriptor.full_name in _LEVELS:
        level += 1
        if level > structs.MAX_DEPTH:
            yield Violation(path, structs.TOO_DEEP)
            return
    known: Counter[int] = Counter()
    unknown: set[int] = set()
    try:
        for number, wire_type, payload in _fields(data):
            field = descriptor.fields_by_number.get(number)
            if field is not None and _takes(field, wire_type):
                yield from _of_field(payload, field, path + _step(descriptor, field, known[number], payload), level)
                known[number] += 1
            elif number not in unknown:
                yield _unknown(descriptor, path, number)
                unknown.add(number)
    except _Malformed:
        text = f"can't be parsed as {descriptor.full_name}: its bytes are damaged, or the client's contract is another"
        yield Violation(path, text)


def _of_field(payload: bytes, field: FieldDescriptor, path: str, level: int) -> Iterator[Violation]:
    if field.message_type is not None:
        yield from _of_message(payload, field.message_type, path, level)
    elif field.type == FieldDescriptor.TYPE_STRING and _text(payload) is None:
        yield Violation(path, "is not valid UTF-8; encode the text again, without lone surrogates")


def _unknown(descriptor: Descriptor, path: str, number: int) -> Violation:
    text = (
        f"field {number} is none that this server knows of {descriptor.full_name}; leave it out: "
        "GetServerInfo's `features` tell what a server has"
    )
    return Violation(f"{path}.{number}", text)


def _takes(field: FieldDescriptor, wire_type: int) -> bool:
    own = _WIRE_TYPES.get(field.type, _VARINT)
    return wire_type == own or (field.is_repeated and wire_type == _LENGTH_DELIMITED)  # repeated numbers are packed


def _step(holder: Descriptor, field: FieldDescriptor, position: int, payload: bytes) -> str:
    """How a path goes on from a message to one of its fields; of JSON values, as one writes them in code."""
    if holder.GetOptions().map_entry:
        return ""
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    if holder.file.name == struct_pb2.DESCRIPTOR.name:
        return f".{_key(payload)}" if is_map else f"[{position}]" if field.is_repeated else ""
    if is_map:
        return f'.{field.name}["{_key(payload)}"]'
    return f".{field.name}[{position}]" if field.is_repeated else f".{field.name}"


def _key(entry: bytes) -> str:
    """Read the key of a map's entry, as far as that can be done."""
    try:
        return next((_text(payload) or "" for number, _, payload in _fields(entry) if number == 1), "")
    except _Malformed:
        return ""


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def _fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Each field's number, wire type and, if it has a length, its bytes. Raises _Malformed."""
    at = 0
    while at < len(data):
        tag, begin = _varint(data, at)
        at = _end(data, begin, tag, 0)
        if not tag >> 3 or at > len(data):
            raise _Malformed
        is_sized = tag & 7 == _LENGTH_DELIMITED
        yield tag >> 3, tag & 7, data[_varint(data, begin)[1] : at] if is_sized else b""


def _end(data: bytes, at: int, tag: int, depth: int) -> int:
    """Where the field ends whose tag was read. Raises _Malformed."""
    wire_type = tag & 7
    if wire_type == _VARINT:
        return _varint(data, at)[1]
    if wire_type in _FIXED_BYTES:
        return at + _FIXED_BYTES[wire_type]
    if wire_type == _LENGTH_DELIMITED:
        size, at = _varint(data, at)
        return at + size
    if wire_type != _GROUP or depth == _MAX_GROUPS:
        raise _Malformed
    while True:  # to the end of the group, whose tag is one more than that of its begin
        inner, at = _varint(data, at)
        if inner == tag + 1:
            return at
        at = _end(data, at, inner, depth + 1)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * _MAX_VARINT_BYTES, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Malformed
